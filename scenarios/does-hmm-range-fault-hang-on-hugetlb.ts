import { scenario } from "@faultline/checker";

/**
 * Does hmm_range_fault() hang while it walks huge pages of hugetlb ("mm/mmu_notifier: Add a new notifier for mapping updates",
 * 2023)? It comes to an end in every order, also where a hole is punched at the same time, which takes the fault's mutex and
 * the file's locks, and in the end the device reads what the file has.
 */
export default scenario({
  title: "does hmm_range_fault() hang on hugetlb?",
  machine: { cpus: 1, devices: 1, frames: 2048 },

  *setup(t) {
    yield* t.setHugePages(1);
    const page = yield* t.mmapHuge(1, true);
    yield* t.store32(page, 7);
    yield* t.deviceLoad32(0, page);
    return { page, read: -1, punched: 1 };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        s.punched = yield* t.punchHuge(s.page);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.deviceLoad32(0, s.page + 4096);
      },
    },
  },

  *check(t, s) {
    if (s.punched !== 0) return `fallocate() answers ${s.punched}`;
    if (s.read !== 0) return `the device has read ${s.read}`;
    const last = yield* t.deviceLoad32(0, s.page);
    return last === 0 ? null : `the device reads ${last} when all is over`;
  },
});
