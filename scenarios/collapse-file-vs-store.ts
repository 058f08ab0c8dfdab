import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * Two threads add to a page of shared memory while another collapses the 2 MiB around it, in the file and then in the
 * page table: what they add to is locked and unmapped while it is copied, and found again in the copy (collapse_file()).
 */
export default scenario({
  title: "CPU store against MADV_COLLAPSE of shared memory",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmapShared(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, collapsed: 0 };
  },

  threads: {
    store: {
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
    // Busy with a page that the fault has just made, or where that came first after all, it says so.
    return [0, -11, -22].includes(s.collapsed) ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
