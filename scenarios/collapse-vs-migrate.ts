import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A page is moved to another frame while a thread collapses the 2 MiB around it. Who moves it comes by the reverse map,
 * without mmap_lock: the anon_vma's lock keeps it out of the table that is taken away (collapse_huge_page()).
 */
export default scenario({
  title: "migration against MADV_COLLAPSE",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    const frame = t.frameOf(pages);
    return { pages, collapsed: 0, frame };
  },

  threads: {
    collapse: {
      on: { cpu: 1 },
      *run(t, s) {
        s.collapsed = yield* t.madvise(s.pages, 512, Madv.COLLAPSE);
      },
    },
    migrate: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.pages);
    if (value !== 100) return `the word is ${value} instead of 100`;
    // A page on its way is not there, or busy.
    return [0, -11, -22].includes(s.collapsed) ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
