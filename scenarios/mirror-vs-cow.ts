import { scenario } from "@faultline/checker";

/**
 * A device mirrors the page of zeros for reading while a CPU's write puts another page in its place: notified before
 * the entry changes ("mm/mmu_notifier: avoid double notification when it is useless", 2017).
 */
export default scenario({
  title: "hmm_range_fault against a copy on write",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page + 4096, 1);
    yield* t.load32(page);
    return { page, read: 0 };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 7);
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
    if (s.read !== 0 && s.read !== 7) return `the device has read ${s.read}`;
    const read = yield* t.deviceLoad32(0, s.page);
    return read === 7 ? null : `the device reads ${read} after a store of 7`;
  },
});
