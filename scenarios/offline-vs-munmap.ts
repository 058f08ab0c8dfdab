import { scenario } from "@faultline/checker";

/**
 * A page moves while its mapping goes, page table and all: the reverse walk that takes the migration entry away again
 * holds the anon_vma, which munmap() must wait for ("mm: unlink vma before pagetables", 2005).
 */
export default scenario({
  title: "migration against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    offline: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.offline(s.frame);
      },
    },
  },
});
