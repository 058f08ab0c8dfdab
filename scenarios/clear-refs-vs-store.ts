import { scenario } from "@faultline/checker";
import { PM } from "@faultline/kernel";

/**
 * Writes are tracked by soft-dirty bits: once clear_refs has returned, no write goes unseen, whoever makes it
 * (Documentation/admin-guide/mm/soft-dirty.rst). Those that may still write by their TLB are flushed, and
 * devices forget what they may write (MMU_NOTIFY_SOFT_DIRTY).
 */
export default scenario({
  title: "clear_refs against a store and a device's",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, after: 0 };
  },

  threads: {
    clear: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.k.clearRefs.storeClearRefs(t.k, t.mm, "4");
        s.after = yield* t.load32(s.page);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 3);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    let dirty = false;
    const vpn = s.page / 4096;
    yield* t.k.pagemap.pagemapTable(t.k, t.mm, vpn, vpn + 1, (_vpn, flags) => (dirty = (flags & PM.SOFT_DIRTY) !== 0));
    return value === s.after || dirty ? null : `the word has changed from ${s.after} to ${value} since clear_refs, and the page is not soft-dirty`;
  },
});
