import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("idle page tracking says which pages are idle, and what uses them", async () => {
  const run = runGuest("page-idle");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/page-idle.txt");
});

test("a page that a device has exclusively is idle for CPUs, and stays the device's", async () => {
  const run = runGuest("page-idle", { args: ["device"] });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/page-idle-device.txt");
});
