import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A driver writes to a page that the program has given up by MADV_FREE, just as reclaim drops it: the references are
 * looked at before the dirty flag ("mm: fix race between MADV_FREE reclaim and blkdev direct IO read", 2022).
 */
export default scenario({
  title: "get_user_pages_fast against reclaim of a lazily freed page",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    yield* t.madvise(page, 1, Madv.FREE);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page, true);
        yield* t.writeUserPage(page, 7);
        yield* t.putUserPage(page);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `an update is lost: the word is ${value} instead of 7`;
  },
});
