import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A thread adds to a page while another collapses the 2 MiB around it, which copies it: the addition comes before, and
 * is copied, or waits until the table that it would be made by is gone ("khugepaged: locking" in
 * Documentation/mm/transhuge.rst's terms: mmap_lock and the anon_vma's, both for writing).
 */
export default scenario({
  title: "CPU fault against MADV_COLLAPSE",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, collapsed: 0 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.pages, 1);
        yield* t.atomicAdd32(s.pages + 4096, 1);
      },
    },
    collapse: {
      on: { cpu: 1 },
      *run(t, s) {
        s.collapsed = yield* t.madvise(s.pages, 512, Madv.COLLAPSE);
      },
    },
  },

  *check(t, s) {
    const first = yield* t.load32(s.pages);
    const second = yield* t.load32(s.pages + 4096);
    if (first !== 101 || second !== 1) return `the words are ${first} and ${second}: an update is lost`;
    // Busy with a page that the fault has just made, it says so.
    return s.collapsed === 0 || s.collapsed === -11 ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
