import { scenario } from "@faultline/checker";

/**
 * Two threads touch a page that nobody has touched: anon_vma, page table and page are there once in the end,
 * whoever is faster ("mm: split page table lock", 2005: what a fault must look at again under the lock).
 */
export default scenario({
  title: "CPU fault against CPU fault on one page",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    return { page: yield* t.mmap(1) };
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
