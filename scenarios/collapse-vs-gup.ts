import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A driver holds a page, found without locks, and writes to it while a thread collapses the 2 MiB around it: held, it is
 * not collapsed; and nobody is in the page table any more when that goes ("mm/khugepaged: fix GUP-fast interaction by
 * sending IPI", 2022).
 */
export default scenario({
  title: "get_user_pages_fast() against MADV_COLLAPSE",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, collapsed: 0 };
  },

  threads: {
    collapse: {
      on: { cpu: 1 },
      *run(t, s) {
        s.collapsed = yield* t.madvise(s.pages, 512, Madv.COLLAPSE);
      },
    },
    dma: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.pages, true);
        if (page < 0) return;
        yield* t.writeUserPage(page, 7);
        yield* t.putUserPage(page);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.pages);
    if (value !== 7) return `the word is ${value} instead of 7: an update is lost`;
    return s.collapsed === 0 || s.collapsed === -11 ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
