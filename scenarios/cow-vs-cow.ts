import { scenario } from "@faultline/checker";

/**
 * Two threads write to a page that has only been read: each would replace the page of zeros by one of its own,
 * and the second must see that the first has done it (wp_page_copy(), Documentation/mm/split_page_table_lock.rst).
 */
export default scenario({
  title: "write to the page of zeros against the same",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    // The VMA has its anon_vma.
    yield* t.store32(page + 4096, 1);
    yield* t.load32(page);
    return { page };
  },

  threads: {
    first: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    second: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 10);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 11 ? null : `an update is lost: the word is ${value} instead of 11`;
  },
});
