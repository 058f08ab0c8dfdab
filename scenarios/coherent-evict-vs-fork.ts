import { scenario } from "@faultline/checker";

/** A coherent device is emptied while a process forks that has a page there: the page is shared there, or when it is back. */
export default scenario({
  title: "eviction of a coherent device against fork",
  machine: { cpus: 1, devices: 3, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(2, page, 1);
    return { page, child: 0, expected: 100 };
  },

  threads: {
    evict: {
      on: { device: 2 },
      *run(t) {
        yield* t.evictDevice(2);
      },
    },
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
  },

  *check(t, s) {
    const parent = yield* t.load32(s.page);
    if (parent !== s.expected) return `the parent finds ${parent} instead of ${s.expected}`;
    const child = s.child < 0 ? 100 : yield* t.inChild(s.child, (c) => c.load32(s.page));
    return child === 100 || child === 101 ? null : `the child finds ${child}`;
  },
});
