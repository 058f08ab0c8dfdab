import { scenario } from "@faultline/checker";
import { Errno } from "@faultline/kernel";

/**
 * Can a page that several processes map be made exclusive to a device? Not while they share it: who asks gets a copy of his own
 * first, as with any write, so that the page of a device has one mapping. Memory that is meant to be shared is refused ("mm: Device
 * exclusive memory access", 2021).
 */
export default scenario({
  title: "can a page with several mappings be exclusive to a device?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const shared = yield* t.mmapShared(1);
    yield* t.store32(shared, 1);
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, shared, child: yield* t.fork(), answer: 0, refused: 0 };
  },

  threads: {
    child: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.inChild(s.child, (child) => child.store32(s.page, 200));
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        s.answer = yield* t.makeExclusive(0, s.page, 1);
        s.refused = yield* t.makeExclusive(0, s.shared, 1);
      },
    },
  },

  *check(t, s) {
    // Until 6.14 whatever went wrong was EBUSY, and reclaim may have been faster.
    if (s.refused !== -Errno.EOPNOTSUPP && s.refused !== -Errno.EBUSY) return `make_device_exclusive() of shared memory answers ${s.refused}`;
    if (s.answer !== 0 && s.answer !== -Errno.EBUSY) return `make_device_exclusive() answers ${s.answer}`;
    const theirs = yield* t.inChild(s.child, (child) => child.load32(s.page));
    if (theirs !== 200) return `the child has ${theirs} instead of 200`;
    if (s.answer !== 0) return null;
    if (!t.isExclusive(s.page)) return "the device has lost the page to a child that has a page of its own";
    yield* t.deviceAtomicAdd32(0, s.page, 10);
    const ours = yield* t.load32(s.page);
    return ours === 110 ? null : `the parent has ${ours} instead of 110`;
  },
});
