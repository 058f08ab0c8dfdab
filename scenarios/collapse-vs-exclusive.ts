import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A device takes a page exclusively while a thread collapses the 2 MiB around it: either it has to give it back, to be
 * copied, or finds the copy ("mm: fixes for device-exclusive entries (hmm)", 2025: what cannot be found must not be lost).
 */
export default scenario({
  title: "device-exclusive access against MADV_COLLAPSE",
  machine: { cpus: 1, devices: 1, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, collapsed: 0 };
  },

  threads: {
    collapse: {
      on: { cpu: 0 },
      *run(t, s) {
        s.collapsed = yield* t.madvise(s.pages, 512, Madv.COLLAPSE);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.pages, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.pages);
    if (value !== 101) return `the word is ${value} instead of 101: an update is lost`;
    // A page that a device has just taken is not there, or busy.
    return [0, -11, -22].includes(s.collapsed) ? null : `MADV_COLLAPSE answers ${s.collapsed}`;
  },
});
