import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A page becomes read-only while it moves: mprotect() takes the permission from the migration entry, else it would come
 * back with the page ("mm: remember exclusively mapped anonymous pages with PG_anon_exclusive", 2022).
 */
export default scenario({
  title: "migration against mprotect(PROT_READ)",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, Prot.READ);
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
    const written = (yield* t.k.uaccess.putUser32(t.k, s.page, 8)) === 0;
    if (written) return "mprotect() has made the page read-only, and it can be written";
    const value = yield* t.load32(s.page);
    return value === 100 ? null : `the word is ${value} instead of 100`;
  },
});
