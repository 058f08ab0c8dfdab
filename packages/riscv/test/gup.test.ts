import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("what GUP gets of memory of each kind, what pins see, and what fork does to them", () => {
  const run = runGuest("gup");
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

test("what is to be pinned for ever is moved out of movable memory", () => {
  const state = "/sys/devices/system/memory/memory18/state";
  const settings = { args: ["move"], memoryBytes: 512 * 2 ** 20 };
  const moved = runGuest("gup", { ...settings, before: [`echo offline > ${state}`, `echo online_movable > ${state}`] });
  expect([moved.failures, moved.exitCode]).toEqual([[], 0]);
  const expected = ["a page: moved, first word 1", "again: stayed, first word 1", "a huge page: moved, first word 1", "again: stayed, first word 1", "nothing yet: 0, migrated 0", ""];
  expect(moved.stdout.split("\n")).toEqual(expected);
  expect(runGuest("gup", settings).stdout).toBe(expected.join("\n").replaceAll("moved", "stayed"));
});
