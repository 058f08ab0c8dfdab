import { scenario, type ThreadApi } from "@faultline/checker";
import { HmmPfn, hmmRange, Madv, type MaySleep } from "@faultline/kernel";

/** What hmm_range_fault() says of a page that is wanted so, while nobody else runs. */
function* look(t: ThreadApi, addr: number, wanted: number): MaySleep<number> {
  const { k, mm, devices } = t;
  const range = hmmRange(devices[0]!, addr / 4096, addr / 4096 + 1, wanted);
  range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, range.notifier);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const error = yield* k.hmm.hmmRangeFault(k, range);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return error === 0 ? range.flags[0]! : error;
}

/**
 * Does hmm_range_fault() see a hole in a file? Who asks for nothing (no HMM_PFN_REQ_FAULT) sees that nothing is mapped, and nothing
 * comes of it. Who wants to read fills the hole, with a page that a CPU may write at once, so that no write is notified later
 * ("mm/mmu_notifier: Add a new notifier for mapping updates", 2023).
 */
export default scenario({
  title: "does hmm_range_fault() see a hole?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.deviceLoad32(0, page);
    return { page, read: -1 };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.REMOVE);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(t, s) {
    const mapped = HmmPfn.VALID | HmmPfn.WRITE;
    if (s.read !== 7 && s.read !== 0) return `the device has read ${s.read}`;
    // What the device has read behind the punch is a hole that it has filled.
    yield* t.madvise(s.page, 1, Madv.REMOVE);
    for (const time of ["first", "second"]) {
      const seen = yield* look(t, s.page, 0);
      if (seen !== 0) return `of a hole hmm_range_fault() says ${seen}, the ${time} time`;
    }
    const filled = yield* look(t, s.page, HmmPfn.REQ_FAULT);
    if (filled !== mapped) return `of a hole that it has filled hmm_range_fault() says ${filled}`;
    const before = yield* t.readBegin(0);
    yield* t.store32(s.page, 9);
    return (yield* t.readRetry(0, before)) ? "a write to a page that may be written is notified" : null;
  },
});
