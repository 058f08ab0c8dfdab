import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A walk without locks takes a reference to a page that is being freed: it looks at the entry again when it has it
 * ("mm: introduce a general RCU get_user_pages_fast()", 2014).
 */
export default scenario({
  title: "get_user_pages_fast against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page, true);
        if (page >= 0) yield* t.putUserPage(page);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 ? null : `the word is ${value} after MADV_DONTNEED`;
  },
});
