import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A device takes a page exclusively whose write permission goes: it holds mmap_lock for that, and is told before
 * the entry changes ("mm/memory: detect writability in restore_exclusive_pte() …", 2025).
 */
export default scenario({
  title: "device-exclusive access against mprotect(PROT_READ)",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100, written: false };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, Prot.READ);
        s.written = (yield* t.k.uaccess.putUser32(t.k, s.page, 8)) === 0;
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
  },

  *check(t, s) {
    if (s.written) return "mprotect() has made the page read-only, and it can be written";
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
