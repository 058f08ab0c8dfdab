import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * Can making a page exclusive fail because the page was replaced by another one meanwhile? No longer: it looks again.
 * Before 2025 that was an EBUSY ("mm/rmap: avoid -EBUSY from make_device_exclusive()").
 */
export default scenario({
  title: "can make_device_exclusive() fail because the page was replaced?",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, result: 0 };
  },

  threads: {
    replace: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
        yield* t.store32(s.page, 2);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        s.result = yield* t.makeExclusive(0, s.page, 1);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.result === 0 ? null : `make_device_exclusive() answers ${s.result}`;
  },
});
