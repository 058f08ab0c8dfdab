import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A fault on one page of a mapping while another page of it changes its permissions: the VMA is split
 * ("Per-VMA locks", 2023).
 */
export default scenario({
  title: "mprotect of one page against a fault on the next",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(3);
    yield* t.store32(page, 1);
    return { page };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page + 4096, 1, 0);
        yield* t.mprotect(s.page + 4096, 1, Prot.READ | Prot.WRITE);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page + 2 * 4096, 7);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page + 2 * 4096);
    return value === 7 ? null : `the word is ${value} instead of 7`;
  },
});
