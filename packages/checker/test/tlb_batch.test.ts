import type { Atomic, Kernel, OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import dontneedReclaim from "../../../scenarios/dontneed-reclaim.js";
import mprotectReclaimStore from "../../../scenarios/mprotect-reclaim-store.js";
import reclaimStore from "../../../scenarios/reclaim-store.js";
import { explore, type Scenario } from "../src/index.js";

function* nothing(): Atomic<void> {
  yield* [];
}

const NO_FLUSH: OverlayFactory = () => ({ tlbBatch: { tryToUnmapFlush: nothing } });
const NO_DIRTY_FLUSH: OverlayFactory = () => ({ tlbBatch: { tryToUnmapFlushDirty: nothing } });
/** The one who frees flushes; the others are told that there is nothing to do. */
const NO_PENDING: OverlayFactory = () => ({ tlbBatch: { isFlushPending: (_k: Kernel) => false } });

describe("reclaim flushes once for many entries", () => {
  test.each([
    ["before it frees a frame", reclaimStore, NO_FLUSH, "freed-while-mapped", /^frame \d+ is freed while the TLB of CPU \d has it/],
    ["before what is dirty is written out", reclaimStore, NO_DIRTY_FLUSH, "outcome", /^a store is lost: the word is 1 instead of 2$/],
    ["or a zap does it", dontneedReclaim, NO_PENDING, "outcome", /^MADV_DONTNEED has returned, and the word is still 7$/],
    ["or mprotect does", mprotectReclaimStore, NO_PENDING, "outcome", /^mprotect\(\) has made the page read-only, and it can be written$/],
  ] as const)("%s", (_when, s, overlay, kind, message) => {
    expect(explore(s as Scenario, { overlays: [overlay] }).violation).toMatchObject({
      kind,
      message: expect.stringMatching(message) as string,
    });
  });
});
