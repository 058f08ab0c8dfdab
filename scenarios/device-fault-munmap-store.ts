import { scenario } from "@faultline/checker";

/** A CPU wants a page back that a device writes to, and another unmaps it. */
export default scenario({
  title: "a CPU fault, a store of the device that has the page, and munmap()",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        if ((yield* t.tryAtomicAdd32(s.page, 1)) !== null) s.expected += 1;
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.expected === 100 || s.expected === 101 ? null : "there is one addition";
  },
});
