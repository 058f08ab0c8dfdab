import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * 2 MiB that one entry maps are moved while a thread writes to them: the migration entry stands for all of them, and the
 * write waits for it, or is copied ("mm: thp: add thp migration core", 2017).
 */
export default scenario({
  title: "CPU store against migration of a huge page",
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
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.pages, 1);
        yield* t.atomicAdd32(s.pages + 4096, 1);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return first === 101 && second === 1 ? null : `the words are ${first} and ${second}: an update is lost`;
  },
});
