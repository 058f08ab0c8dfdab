import { scenario } from "@faultline/checker";
import sva from "./drivers/sva.js";

/**
 * A device has cached two pages that were shared with a child; a CPU writes to the first, then to the second, and each write makes a copy. Who sees
 * the second sees the first (Documentation/mm/mmu_notifier.rst): the device is flushed when an entry is cleared, before another stands there.
 */
export default scenario({
  title: "a device that shares the page table against copies on write",
  machine: { cpus: 1 },
  drivers: [sva],

  *setup(t) {
    const pages = yield* t.mmap(2);
    yield* t.store32(pages, 1);
    yield* t.store32(pages + 4096, 1);
    const child = yield* t.fork();
    const fd = yield* t.open("sva0");
    yield* t.engine(fd, "load32", pages);
    yield* t.engine(fd, "load32", pages + 4096);
    yield* t.drainLruBatches();
    return { pages, child, fd, seen: [] as number[] };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.pages, 2);
        yield* t.store32(s.pages + 4096, 2);
      },
    },
    device: {
      on: { device: "sva0" },
      *run(t, s) {
        s.seen.push(yield* t.engine(s.fd, "load32", s.pages + 4096));
        s.seen.push(yield* t.engine(s.fd, "load32", s.pages));
      },
    },
  },

  *check(t, s) {
    yield* t.exit(s.child);
    return s.seen[0] === 2 && s.seen[1] === 1 ? "the device has seen the second store, and not the first" : null;
  },
});
