import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

function answers(release: string): string[] {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const run = runGuest("device-memory", { overlays });
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  return run.stdout.trimEnd().split("\n");
}

test("pages go to memory of devices and back as on 7.3", () => {
  expect(answers("7.3")).toMatchSnapshot();
});

test("6.14 answers the same; on 6.1 pagemap and smaps say of entries that are not present that they are the only ones", () => {
  const now = answers("7.3");
  expect(answers("6.14")).toEqual(now);
  const before = answers("6.1");
  expect(before.filter((line, i) => line !== now[i])).toEqual([
    "  pagemap: 0+8:SDX",
    "  smaps held exclusively: Rss: 16 Pss: 16 Shared_Clean: 0 Shared_Dirty: 0 Private_Clean: 0 Private_Dirty: 16",
    "  smaps held exclusively: Rss: 16 Pss: 16 Shared_Clean: 0 Shared_Dirty: 0 Private_Clean: 0 Private_Dirty: 16",
  ]);
});
