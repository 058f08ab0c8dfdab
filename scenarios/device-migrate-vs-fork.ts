import { scenario } from "@faultline/checker";

/** A page moves to a device while the process forks: parent and child have what the parent had. */
export default scenario({
  title: "migration to a device against fork",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, child: 0 };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
        yield* t.store32(s.page, 200);
      },
    },
  },

  *check(t, s) {
    const parent = yield* t.load32(s.page);
    if (parent !== 200) return `the parent finds ${parent}`;
    // fork() fails where memory is short.
    const child = s.child < 0 ? 100 : yield* t.inChild(s.child, (c) => c.load32(s.page));
    return child === 100 ? null : `the child finds ${child}`;
  },
});
