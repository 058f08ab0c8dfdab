import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// What Linux 7.2 prints for the same source, in a virtual machine with swap and huge pages on advice.
test("soft-dirty bits: which writes they tell of", () => {
  const run = runGuest("soft-dirty", { args: ["all"] });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});
