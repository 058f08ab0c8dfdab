import { scenario } from "@faultline/checker";

/**
 * A walk without locks is in a page table that munmap frees ("riscv: enable MMU_GATHER_RCU_TABLE_FREE and
 * HAVE_FAST_GUP", 2024).
 */
export default scenario({
  title: "get_user_pages_fast against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page, true);
        if (page >= 0) yield* t.putUserPage(page);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },
});
