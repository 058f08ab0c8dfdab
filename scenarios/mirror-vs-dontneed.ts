import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device mirrors a page that is being thrown away. What hmm_range_fault() has read may be out of date when it
 * returns: the driver asks again under its own lock (Documentation/mm/hmm.rst, mmu_interval_read_retry()).
 */
export default scenario({
  title: "hmm_range_fault against MADV_DONTNEED",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, read: 0 };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.read === 0 || s.read === 1 ? null : `the device has read ${s.read}`;
  },
});
