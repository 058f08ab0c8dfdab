import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("pairs of sockets are what they are on Linux", async () => {
  const run = runGuest("sockets");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/sockets.txt");
  expect(run.exitCode).toBe(0);
});
