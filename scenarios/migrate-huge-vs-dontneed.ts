import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * 2 MiB are moved while a part of them is thrown away: where that meets the migration entry, it becomes one for each
 * page ("mm: thp: check pmd migration entry in common path", 2017).
 */
export default scenario({
  title: "MADV_DONTNEED against migration of a huge page",
  machine: { cpus: 2, devices: 0, frames: 4096 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.madvise(pages, 512, Madv.HUGEPAGE);
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, frame: t.frameOf(pages) };
  },

  threads: {
    migrate: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.pages + 4096, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return first === 100 && second === 0 ? null : `the words are ${first} and ${second}`;
  },
});
