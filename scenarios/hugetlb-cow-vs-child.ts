import { scenario } from "@faultline/checker";

/**
 * The owner of the only huge page of the pool writes to it while its child reads: there is no page for a
 * copy, so the child loses its mapping and gets SIGBUS, unless it has read before; it never sees what
 * the owner has written since fork().
 */
export default scenario({
  title: "write of a huge page's owner against its child's read",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const pool = yield* t.setHugePages(1);
    const page = yield* t.mmapHuge(1);
    yield* t.store32(page, 1);
    return { pool, page, child: yield* t.fork(), written: false, seen: null as number | null };
  },

  threads: {
    owner: {
      on: { cpu: 0 },
      *run(t, s) {
        s.written = yield* t.tryStore32(s.page, 7);
      },
    },
    child: {
      on: { cpu: 1 },
      *run(t, s) {
        s.seen = yield* t.inChild(s.child, (c) => c.tryLoad32(s.page));
      },
    },
  },

  *check(t, s) {
    if (s.pool !== 1) return `the pool has ${s.pool} pages`;
    if (!s.written) return "the owner got a signal";
    if (s.seen !== null && s.seen !== 1) return `the child has read ${s.seen}`;
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `the owner's word is ${value}`;
  },
});
