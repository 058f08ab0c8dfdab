import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page that userfaultfd has protected goes to swap and comes back while another thread writes to it: it stays
 * protected on the way, and the write comes after ("userfaultfd: wp: support swap and page migration", 2020).
 */
export default scenario({
  title: "userfaultfd: write protection in swap",
  machine: { cpus: 2, devices: 0, swapSlots: 4 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, false, true);
    yield* t.uffdWriteprotect(uffd, page, 1, true);
    yield* t.drainLruBatches();
    return { page, uffd, first: 0, second: 0 };
  },

  threads: {
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
        s.first = yield* t.load32(s.page);
        s.second = yield* t.load32(s.page);
        yield* t.uffdWriteprotect(s.uffd, s.page, 1, false);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
  },

  *check(t, s) {
    if (s.first !== 1 || s.second !== 1) return `the page had ${s.first} and then ${s.second}, while it was protected`;
    const last = yield* t.load32(s.page);
    return last === 2 ? null : `the page has ${last}, and 2 was written`;
  },
});
