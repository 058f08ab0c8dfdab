import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * When do PTEs change relative to the notification of a hole punch? Between its begin and its end: a driver that waits for the
 * end finds no entry of before. But the page leaves the file only after, so that a fault in between maps it once more,
 * and its removal is notified, too ("mm/mmu_notifier: Add a new notifier for mapping updates", 2023).
 */
export default scenario({
  title: "when do PTEs change relative to the notification of a hole punch?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.deviceLoad32(0, page);
    return { page, over: false, read: 0, stale: false };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.REMOVE);
        s.over = true;
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        const { over } = s;
        const seq = yield* t.readBegin(0);
        s.read = yield* t.deviceLoad32(0, s.page);
        s.stale = over && s.read !== 0 && !(yield* t.readRetry(0, seq));
      },
    },
  },

  *check(t, s) {
    if (s.stale) return "the device reads what was there before the punch, and nothing tells it";
    if (s.read !== 7 && s.read !== 0) return `the device has read ${s.read}`;
    const last = yield* t.deviceLoad32(0, s.page);
    return last === 0 ? null : `the device still reads ${last} when all is over`;
  },
});
