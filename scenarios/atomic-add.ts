import { scenario } from "@faultline/checker";

/**
 * A counter that a CPU and a device add to: whoever has the page, no addition may get lost
 * ("Add support for SVM atomics in Nouveau", 2021).
 */
export default scenario({
  title: "CPU and device add to one word",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    return { page, added: 2 };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY, and then nothing was added.
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.added += 10;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.added ? null : `an update is lost: the word is ${value} instead of ${s.added}`;
  },
});
