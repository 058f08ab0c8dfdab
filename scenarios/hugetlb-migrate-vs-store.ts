import { scenario } from "@faultline/checker";

/**
 * A huge page moves to another frame while a thread stores to it: the store waits at the migration entry, or
 * comes before, and is not lost.
 */
export default scenario({
  title: "migration of a huge page against a store",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const pool = yield* t.setHugePages(2);
    const page = yield* t.mmapHuge(1);
    yield* t.store32(page, 1);
    return { pool, page, frame: t.frameOf(page), stored: false };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        s.stored = yield* t.tryStore32(s.page, 7);
      },
    },
    migrate: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    if (s.pool !== 2) return `the pool has ${s.pool} pages`;
    if (!s.stored) return "the store got a signal";
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `the word is ${value}`;
  },
});
