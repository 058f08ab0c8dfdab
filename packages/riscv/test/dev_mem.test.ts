import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("/dev/mem: RAM by its physical addresses, read, written and mapped", async () => {
  const run = runGuest("dev-mem");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/dev-mem.txt");
});
