import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * What may an invalidate callback not do? Look for the new pages: when it runs, the old entries are still there. This holds
 * with a driver that faults with its next access; with one that does it in the callback
 * (scenarios/undone/fault-in-callback.ts) the device keeps a page that the file no longer has
 * ("mm/mmu_notifier: Add a new notifier for mapping updates", 2023).
 */
export default scenario({
  title: "what may a notifier callback not do?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.deviceLoad32(0, page);
    return { page };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.REMOVE);
        yield* t.store32(s.page, 9);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.deviceLoad32(0, s.page);
    return value === 9 ? null : `the device reads ${value}, and the file has 9`;
  },
});
