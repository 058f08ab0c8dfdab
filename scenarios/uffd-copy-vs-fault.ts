import { scenario } from "@faultline/checker";

/**
 * A page is filled in while somebody faults on it: whoever is first, the fault ends with what was copied. One that
 * comes into the queue after the wake-up has to see by itself that there is nothing to wait for.
 */
export default scenario({
  title: "userfaultfd: a fault against UFFDIO_COPY",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const source = yield* t.mmap(1);
    const page = yield* t.mmap(1);
    yield* t.store32(source, 7);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, true, false);
    yield* t.drainLruBatches();
    return { source, page, uffd, seen: 0 };
  },

  threads: {
    load: {
      on: { cpu: 0 },
      *run(t, s) {
        s.seen = yield* t.load32(s.page);
      },
    },
    copy: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.uffdCopy(s.uffd, s.page, s.source, 1);
      },
    },
  },

  *check(_t, s) {
    return s.seen === 7 ? null : `the load has ${s.seen}, and 7 was copied`;
  },
});
