import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A hole is punched into a file that a device mirrors, and filled again by a write. Is that notified? No, and it need not be:
 * the punch was, so the device has nothing that could be out of date, and finds the new page with its next fault
 * ("mm/mmu_notifier: Add a new notifier for mapping updates", 2023).
 */
export default scenario({
  title: "is there a notification when a hole is refilled?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.deviceLoad32(0, page);
    return { page, told: [false, false], read: [-1, -1] };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        const before = yield* t.readBegin(0);
        yield* t.madvise(s.page, 1, Madv.REMOVE);
        s.told[0] = yield* t.readRetry(0, before);
        const between = yield* t.readBegin(0);
        yield* t.store32(s.page, 9);
        s.told[1] = yield* t.readRetry(0, between);
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
    const last = yield* t.deviceLoad32(0, s.page);
    if (last !== 9) return `the device reads ${last}, and the file has 9`;
    const order = [7, 0, 9];
    const places = s.read.map((value) => order.indexOf(value));
    if (places.includes(-1) || places[0]! > places[1]!) return `the device has read ${s.read.join(", then ")}`;
    if (!s.told[0]) return "the punch was not notified";
    return s.told[1] ? "filling the hole was notified" : null;
  },
});
