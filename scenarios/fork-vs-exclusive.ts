import { scenario } from "@faultline/checker";

/**
 * A process forks while a device takes a page of it exclusively: the child gets an ordinary page, the device loses
 * its own, and neither sees what the other adds to it ("mm: Device exclusive memory access", 2021).
 */
export default scenario({
  title: "fork against device-exclusive access",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, child: 0 };
  },

  threads: {
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.makeExclusive(0, s.page, 1);
      },
    },
  },

  *check(t, s) {
    // The driver has the page's folio locked, which fork only tries for.
    if (s.child < 0) return null;
    yield* t.deviceAtomicAdd32(0, s.page, 10);
    const theirs = yield* t.inChild(s.child, (child) => child.load32(s.page));
    if (theirs !== 100) return `the child has ${theirs} instead of 100`;
    yield* t.inChild(s.child, (child) => child.store32(s.page, 1));
    const ours = yield* t.load32(s.page);
    return ours === 110 ? null : `the parent has ${ours} instead of 110`;
  },
});
