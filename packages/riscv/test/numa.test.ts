import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("policies on a machine of one node answer as Linux's do", async () => {
  const run = runGuest("numa");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 6.18.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa.txt");
});

test("on two nodes pages go where their policy says, and move where they are told to", async () => {
  const run = runGuest("numa", { args: ["two"], nodes: 2 });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa-two.txt");
});
