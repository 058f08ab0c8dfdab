import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A device writes to a page by its mirror while a thread collapses the 2 MiB around it: the notifier makes it drop the
 * page before that is copied, and the next write goes to the copy (collapse_huge_page() and Documentation/mm/hmm.rst).
 */
export default scenario({
  title: "device store against MADV_COLLAPSE",
  machine: { cpus: 1, devices: 1, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, collapsed: 0 };
  },

  threads: {
    collapse: {
      on: { cpu: 0 },
      *run(t, s) {
        s.collapsed = yield* t.madvise(s.pages, 512, Madv.COLLAPSE);
      },
    },
    store: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.pages, 7);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.pages);
    if (value !== 7) return `the word is ${value} instead of 7: an update is lost`;
    // While the device's fault holds the page, it is busy.
    return s.collapsed === 0 || s.collapsed === -11 ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
