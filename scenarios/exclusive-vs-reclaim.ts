import { scenario } from "@faultline/checker";

/**
 * A page that a device has exclusively, and uses, is swapped out ("mm/rmap: keep mapcount untouched for
 * device-exclusive entries", 2025: before it, reclaim took such a page for one that nobody maps).
 */
export default scenario({
  title: "device-exclusive access against reclaim",
  machine: { cpus: 1, devices: 1, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    reclaim: {
      on: { cpu: 0 },
      *run(t) {
        yield* t.shrinkLruvec();
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY, and then nothing was added.
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
  },

  *check(t, s) {
    const { k } = t;
    const flags = k.m.pt.flags(k.m.pt.lookup(t.mm.pgd, s.page / 4096));
    if (k.swapops.isDeviceExclusive(k, flags) && (yield* t.reclaim(1)) !== 0) return "the page is exclusive to a device, and cannot be reclaimed";
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
