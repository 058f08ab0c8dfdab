import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import faultExclusive from "../../../scenarios/fault-vs-exclusive.js";
import gupFastMunmap from "../../../scenarios/gup-fast-munmap.js";
import largeFolioSplit from "../../../scenarios/large-folio-split.js";
import lazyfreeMirror from "../../../scenarios/lazyfree-mirror.js";
import mirrorDontneed from "../../../scenarios/mirror-dontneed.js";
import mprotectFault from "../../../scenarios/mprotect-fault.js";
import mprotectReclaim from "../../../scenarios/mprotect-reclaim.js";
import reclaimExclusive from "../../../scenarios/reclaim-exclusive.js";
import reclaimMunmap from "../../../scenarios/reclaim-munmap.js";
import swapInDontneedPageout from "../../../scenarios/swap-in-dontneed-pageout.js";
import twoDevices from "../../../scenarios/two-devices.js";
import vmaLockMunmap from "../../../scenarios/vma-lock-munmap.js";
import dontneedReclaim from "../../../scenarios/dontneed-reclaim.js";
import mprotectReclaimStore from "../../../scenarios/mprotect-reclaim-store.js";
import reclaimStore from "../../../scenarios/reclaim-store.js";
import { explore, type Scenario } from "../src/index.js";

/** The gallery: each scenario with as many preemptions as a few seconds allow. */
const GALLERY: readonly (readonly [title: string, s: Scenario, preemptions: number])[] = (
  [
    [faultExclusive, 3],
    [gupFastMunmap, 2],
    [largeFolioSplit, 1],
    [lazyfreeMirror, 2],
    [mirrorDontneed, 2],
    [mprotectFault, 2],
    [mprotectReclaim, 2],
    [reclaimExclusive, 1],
    [reclaimMunmap, 2],
    [swapInDontneedPageout, 2],
    [twoDevices, 1],
    [dontneedReclaim, 1],
    [mprotectReclaimStore, 2],
    [reclaimStore, 1],
    [vmaLockMunmap, 2],
  ] as const
).map(([s, n]) => [s.title, s as Scenario, n]);

test.each(GALLERY)("%s: clean", (_title, s, preemptions) => {
  const report = explore(s, { preemptions });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
  // Every loop that waits for somebody says so.
  expect(report.forced).toBe(0);
});

test.each(["6.14", "6.1"])("fault against exclusive on %s: clean", (release) => {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const report = explore(faultExclusive, { overlays });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});
