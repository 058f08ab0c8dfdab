import { scenario } from "@faultline/checker";

/** A CPU wants a page back that a device has, the process forks, and the device is emptied, all at once. */
export default scenario({
  title: "a CPU fault, a fork, and the eviction of the device that has the page",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, child: 0, expected: 100 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        s.expected += 1;
      },
    },
    fork: {
      on: { cpu: 1 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    evict: {
      on: { device: 0 },
      *run(t) {
        yield* t.evictDevice(0);
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
