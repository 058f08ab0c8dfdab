import { scenario } from "@faultline/checker";

/** UFFDIO_MOVE waits for the lock of a folio inside its own invalidation, and the driver has it locked while it enters the page. */
export default scenario({
  title: "exclusive access against UFFDIO_MOVE",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const from = yield* t.mmap(1);
    yield* t.store32(from, 1);
    const to = yield* t.mmap(1);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, to, 1, true, false);
    yield* t.drainLruBatches();
    return { from, to, uffd, moved: 0 };
  },

  threads: {
    move: {
      on: { cpu: 0 },
      *run(t, s) {
        s.moved = yield* t.uffdMove(s.uffd, s.to, s.from, 1);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.makeExclusive(0, s.from, 1);
      },
    },
  },

  *check(t, s) {
    const word = yield* t.load32(s.moved > 0 ? s.to : s.from);
    return word === 1 ? null : `the word is ${word}, after UFFDIO_MOVE that answered ${s.moved}`;
  },
});
