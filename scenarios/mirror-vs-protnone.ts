import { scenario } from "@faultline/checker";

/**
 * A device mirrors a page that becomes inaccessible: hmm_range_fault() answers EFAULT then, and what the device has of
 * the page goes (Documentation/mm/hmm.rst).
 */
export default scenario({
  title: "hmm_range_fault against mprotect(PROT_NONE)",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, read: 0 };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, 0);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(t, s) {
    if (s.read > 1) return `the device has read ${s.read}`;
    const read = yield* t.deviceLoad32(0, s.page);
    return read < 0 ? null : `mprotect() has taken all access away, and the device reads ${read}`;
  },
});
