import { scenario } from "@faultline/checker";

/**
 * A huge page is punched out of its file while a thread stores to it by a shared mapping: the store goes to
 * the old page, or faults and gets a new one, for which there is always room: the old one is back in the pool
 * before the fault's mutex is dropped. Afterwards the file, the page tables and the pool agree on which.
 */
export default scenario({
  title: "store to a huge page of a file against a hole being punched",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const pool = yield* t.setHugePages(1);
    const page = yield* t.mmapHuge(1, true);
    yield* t.store32(page, 1);
    return { pool, page, stored: false, punched: 1 };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        s.stored = yield* t.tryStore32(s.page, 7);
      },
    },
    punch: {
      on: { cpu: 1 },
      *run(t, s) {
        s.punched = yield* t.punchHuge(s.page);
      },
    },
  },

  *check(t, s) {
    if (s.pool !== 1) return `the pool has ${s.pool} pages`;
    if (s.punched !== 0) return `fallocate() answers ${s.punched}`;
    if (!s.stored) return "the store got a signal";
    const value = yield* t.load32(s.page);
    return value === 7 || value === 0 ? null : `the word is ${value}`;
  },
});
