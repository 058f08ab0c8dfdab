import { scenario } from "@faultline/checker";

/**
 * Do two devices that want one page exclusively make progress, each taking it from the other? Yes: who has it keeps the
 * folio lock until its own page table is written, so that each gets at least one access in
 * ("mm: fixes for device-exclusive entries (hmm)", 2025, asks for somebody with the hardware).
 */
export default scenario({
  title: "do two devices wanting one page exclusively make progress?",
  machine: { cpus: 1, devices: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    yield* t.drainLruBatches();
    return { page, failed: 0 };
  },

  threads: {
    first: {
      on: { device: 0 },
      *run(t, s) {
        for (let i = 0; i < 2; i++) if ((yield* t.deviceAtomicAdd32(0, s.page, 1)) < 0) s.failed++;
      },
    },
    second: {
      on: { device: 1 },
      *run(t, s) {
        for (let i = 0; i < 2; i++) if ((yield* t.deviceAtomicAdd32(1, s.page, 16)) < 0) s.failed++;
      },
    },
  },

  *check(t, s) {
    if (s.failed > 0) return `${s.failed} of the devices' accesses have failed`;
    const value = yield* t.load32(s.page);
    return value === 34 ? null : `the word is ${value} instead of 34`;
  },
});
