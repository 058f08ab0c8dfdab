import { scenario } from "@faultline/checker";
import { Errno } from "@faultline/kernel";

/**
 * A frame turns out to be broken while a device takes what is in it exclusively, and adds to it ("mm/rmap: keep mapcount untouched
 * for device-exclusive entries", 2025): nobody reaches it afterwards, neither the device nor a CPU.
 */
export default scenario({
  title: "a broken frame against device-exclusive access",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page), answer: 1 };
  },

  threads: {
    broken: {
      on: { cpu: 0 },
      *run(t, s) {
        s.answer = yield* t.corruptFrame(s.frame);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 10);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.tryLoad32(s.page);
    if (value !== null) return `the page is read from a frame that is broken: ${value}`;
    // Whoever looks at the page just then, as the device's fault, holds it a moment longer.
    return s.answer === 0 || s.answer === -Errno.EBUSY ? null : `memory_failure() answers ${s.answer}`;
  },
});
