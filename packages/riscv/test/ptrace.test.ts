import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("a tracer gets from its tracees what Linux gives it", async () => {
  const run = runGuest("ptrace");
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/ptrace.txt");
});
