import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * One page that everybody wants: a CPU adds to a word of it, a device does the same with exclusive access, and
 * another CPU throws the page away. The page starts out exclusive to the device, so that the CPU's access has to
 * take it back first ("mm: take a page reference when removing device exclusive entries", 2023).
 */
export default scenario({
  title: "CPU fault against device-exclusive access against MADV_DONTNEED",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.makeExclusive(0, page, 1);
    // Else a CPU's batch would hold a reference, and MADV_DONTNEED could not free the page.
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 10);
      },
    },
  },

  /** What was there before is gone; each addition is there as a whole, or went with it. */
  *check(t, s) {
    const value = yield* t.load32(s.page);
    const possible = [0, 1, 10, 11];
    return possible.includes(value) ? null : `the word is ${value}, which no order of the three can give`;
  },
});
