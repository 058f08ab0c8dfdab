import { scenario } from "@faultline/checker";

/**
 * A userfaultfd is closed while somebody faults on what is registered with it: the fault ends with ordinary memory, and
 * nobody waits for ever.
 */
export default scenario({
  title: "userfaultfd: a fault against the last close",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, true, false);
    yield* t.drainLruBatches();
    return { page, uffd, seen: -1 };
  },

  threads: {
    load: {
      on: { cpu: 0 },
      *run(t, s) {
        s.seen = yield* t.load32(s.page);
      },
    },
    close: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.uffdClose(s.uffd);
      },
    },
  },

  *check(_t, s) {
    return s.seen === 0 ? null : `the load has ${s.seen} instead of 0`;
  },
});
