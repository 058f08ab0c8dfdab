import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device takes a page exclusively that is being thrown away. The folio lock does not keep MADV_DONTNEED off, so
 * the driver enters the page under the notifier's sequence (kernel-doc of make_device_exclusive(), 2025).
 */
export default scenario({
  title: "device-exclusive access against MADV_DONTNEED",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
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

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 10 ? null : `the word is ${value}, which no order of the two can give`;
  },
});
