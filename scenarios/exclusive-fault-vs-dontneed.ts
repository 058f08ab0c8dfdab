import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A thread faults on a page that a device has exclusively, and waits for its folio lock, while another throws the
 * page away ("mm: take a page reference when removing device exclusive entries", 2023).
 */
export default scenario({
  title: "fault on a device-exclusive page against MADV_DONTNEED",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.makeExclusive(0, page, 1);
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
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 1 ? null : `the word is ${value}, which no order of the two can give`;
  },
});
