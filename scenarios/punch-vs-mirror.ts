import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A hole is punched into a file that a device mirrors (MADV_REMOVE, which is fallocate() with FALLOC_FL_PUNCH_HOLE). The
 * mappings go first, with a notification for all of them; what a device faults in again before its page is
 * taken out of the file is unmapped with the page, and notified again.
 */
export default scenario({
  title: "punching a hole against a mirrored device",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    return { page, read: [0, 0] };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.REMOVE);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        s.read[0] = yield* t.deviceLoad32(0, s.page);
        s.read[1] = yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(t, s) {
    const left = yield* t.load32(s.page);
    if (left !== 0) return `the file still has ${left} there`;
    const [first, second] = s.read;
    if (first !== 7 && first !== 0) return `the device has read ${first}`;
    return second === 0 || second === first ? null : `the device has read ${first}, then ${second}`;
  },
});
