import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A thread writes to a page that becomes read-only: once mprotect() has returned nothing of it changes any more
 * (Documentation/core-api/cachetlb.rst on flush_tlb_range(), and "mm, mprotect: flush TLB if …", 2017).
 */
export default scenario({
  title: "CPU store against mprotect(PROT_READ)",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    return { page, after: 0 };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.k.uaccess.putUser32(t.k, s.page, 2);
      },
    },
    protect: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, Prot.READ);
        s.after = yield* t.load32(s.page);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.after ? null : `mprotect() has made the page read-only, and it changes from ${s.after} to ${value}`;
  },
});
