import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A device mirrors a page for writing while the permission goes: when mprotect() has returned, nobody writes any
 * more (Documentation/mm/mmu_notifier.rst; MMU_NOTIFY_PROTECTION_VMA).
 */
export default scenario({
  title: "hmm_range_fault against mprotect(PROT_READ)",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, after: 0 };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, Prot.READ);
        s.after = yield* t.load32(s.page);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 2);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.after ? null : `mprotect() has made the page read-only, and it changes from ${s.after} to ${value}`;
  },
});
