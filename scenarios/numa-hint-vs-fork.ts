import { scenario } from "@faultline/checker";

/**
 * fork() shares a page that waits for a NUMA hinting fault: the child waits for one, too, and what comes of the faults can be
 * written only where the page is nobody else's (can_change_pte_writable()).
 */
export default scenario({
  title: "NUMA hinting faults against fork",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.numaScan(page, 1);
    return { page, child: 0, before: 0 };
  },

  threads: {
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
        if (s.child < 0) return;
        s.before = yield* t.inChild(s.child, (c) => c.load32(s.page));
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.load32(s.page);
        yield* t.store32(s.page, 101);
      },
    },
  },

  *check(t, s) {
    if (s.child < 0) return null;
    const [mine, theirs] = [yield* t.load32(s.page), yield* t.inChild(s.child, (c) => c.load32(s.page))];
    if (mine !== 101) return `the parent has written 101, and reads ${mine}`;
    return theirs === s.before ? null : `the child's page changes from ${s.before} to ${theirs}`;
  },
});
