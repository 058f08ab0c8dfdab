import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A walk without locks takes a reference to a page that is freed, and is another page of the program's by then: it looks
 * at the entry again when it has it ("mm: introduce a general RCU get_user_pages_fast()", 2014).
 */
export default scenario({
  title: "get_user_pages_fast against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page, 100);
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
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
        yield* t.store32(s.page + 4096, 5);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page + 4096);
    return value === 5 ? null : `the word of the other page is ${value} instead of 5`;
  },
});
