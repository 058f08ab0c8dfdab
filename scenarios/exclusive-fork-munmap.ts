import { scenario } from "@faultline/checker";

/** A device takes a page exclusively while the process forks and unmaps it. */
export default scenario({
  title: "device-exclusive access, fork and munmap()",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, child: 0, expected: 100 };
  },

  threads: {
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.makeExclusive(0, s.page, 1);
      },
    },
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },

  *check(t, s) {
    if (s.child <= 0) return null;
    const child = yield* t.inChild(s.child, (c) => c.tryAtomicAdd32(s.page, 0));
    return child === null || child === 100 ? null : `the child finds ${child}`;
  },
});
