import { scenario } from "@faultline/checker";

/**
 * A CPU takes a page back that a device has exclusively: an entry that nothing could be cached of becomes one that maps the
 * page. Must that be notified, as nothing else that only adds a mapping is? Yes, with MMU_NOTIFY_CLEAR: the device knows from
 * nothing else that it must stop ("mm: Device exclusive memory access", 2021).
 */
export default scenario({
  title: "must restoring a device-exclusive entry notify?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    yield* t.drainLruBatches();
    yield* t.makeExclusive(0, page, 1);
    return { page, told: false };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        const seq = yield* t.readBegin(0);
        yield* t.atomicAdd32(s.page, 1);
        s.told = yield* t.readRetry(0, seq);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 16);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    if (value !== 17) return `an update is lost: the word is ${value} instead of 17`;
    return s.told ? null : "the device has not been told";
  },
});
