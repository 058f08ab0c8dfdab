import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A thread adds to a page of 2 MiB that another throws away, with the page table that they had: whoever has found the
 * table must not be in it any more when that goes ("synchronously scan and reclaim empty user PTE pages", 2024).
 */
export default scenario({
  title: "CPU fault against MADV_DONTNEED of a whole page table",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.pages, 1);
        yield* t.atomicAdd32(s.pages, 1);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.pages, 512, Madv.DONTNEED);
      },
    },
  },

  /** The additions behind it are there. */
  *check(t, s) {
    const value = yield* t.load32(s.pages);
    return value <= 2 || value === 102 ? null : `the word is ${value} after MADV_DONTNEED`;
  },
});
