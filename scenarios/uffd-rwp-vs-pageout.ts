import { scenario } from "@faultline/checker";
import { Madv, UffdFeature } from "@faultline/kernel";

/**
 * A page that userfaultfd has protected from all accesses goes to swap while another thread writes to it: whichever way it
 * takes, that thread is told of once before it has written ("userfaultfd: add RWP for working set tracking", 7.3).
 */
export default scenario({
  title: "userfaultfd: protection from accesses in swap",
  machine: { cpus: 2, devices: 0, swapSlots: 4 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const uffd = yield* t.userfaultfd(UffdFeature.RWP);
    yield* t.uffdRegister(uffd, page, 1, false, false, true);
    yield* t.uffdRwprotect(uffd, page, 1, true);
    yield* t.drainLruBatches();
    return { page, uffd, told: 0, stored: 0, before: 0 };
  },

  threads: {
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
        s.told = yield* t.uffdRead(s.uffd);
        s.before = s.stored;
        yield* t.uffdRwprotect(s.uffd, s.page, 1, false);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
        s.stored = 1;
      },
    },
  },

  *check(t, s) {
    if (s.told !== s.page || s.before !== 0) return "the page was written to, and nobody was told before";
    const last = yield* t.load32(s.page);
    return last === 2 ? null : `the page has ${last}, and 2 was written`;
  },
});
