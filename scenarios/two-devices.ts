import { scenario } from "@faultline/checker";

/** Two devices take one page from each other, and from a CPU ("mm: device exclusive memory access", 2021). */
export default scenario({
  title: "two devices and a CPU add to one word",
  machine: { cpus: 1, devices: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    return { page, expected: 1 };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    first: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
    second: {
      on: { device: 1 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(1, s.page, 100)) >= 0) s.expected += 100;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
