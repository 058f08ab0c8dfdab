import { scenario } from "@faultline/checker";

/** A counter that a program and a device add to, each atomically. Whoever has the page, no addition may get lost. */
export default scenario({
  title: "a program and a device add to one word",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    return { page, added: 2 };
  },

  threads: {
    program: {
      on: { cpu: 0 },
      elf: "../programs/prebuilt/add-word",
      args: (s) => [s.page.toString(16)],
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
