import { scenario } from "@faultline/checker";

/**
 * A driver asks for a page that is not there yet while its mapping goes: get_user_pages() faults it in under mmap_lock
 * (Documentation/mm/process_addrs.rst).
 */
export default scenario({
  title: "get_user_pages against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page + 4096, true);
        if (page >= 0) yield* t.putUserPage(page);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 2);
      },
    },
  },
});
