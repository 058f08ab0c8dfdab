import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, with a tmpfs at /tmp.
test.each(["openat2", "xattr"])("names lead where they lead on Linux, and have the attributes that they have there: %s", async (name) => {
  const run = runGuest(name);
  await expect(run.stdout).toMatchFileSnapshot(`./__snapshots__/${name}.txt`);
  expect(run.exitCode).toBe(0);
});
