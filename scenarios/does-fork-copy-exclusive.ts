import { scenario } from "@faultline/checker";

/**
 * Does fork copy a device-exclusive entry, or restore the page? It restores it, in the parent, and shares an ordinary
 * page: the child never has such an entry ("mm: Device exclusive memory access", 2021, asks both ways).
 */
export default scenario({
  title: "does fork copy a device-exclusive entry, or restore it?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.makeExclusive(0, page, 1);
    return { page, child: 0 };
  },

  threads: {
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 10);
      },
    },
  },

  *check(t, s) {
    // Under the page-table lock fork can only try for the folio's: it answers ENOMEM where the driver has it.
    if (s.child < 0) return null;
    const exclusive = yield* t.inChild(s.child, function* (child) {
      yield* [];
      return child.isExclusive(s.page);
    });
    if (exclusive) return "the child has a device-exclusive entry";
    const theirs = yield* t.inChild(s.child, (child) => child.load32(s.page));
    if (theirs !== 100 && theirs !== 110) return `the child has ${theirs}`;
    const ours = yield* t.load32(s.page);
    return ours === 110 ? null : `the parent has ${ours} instead of 110`;
  },
});
