import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device mirrors a page and writes to it while ksmd merges it with another: it is told before the page is write-protected, and
 * again before another page is in its place (mmu_notifier_invalidate_range_start() in write_protect_page() and replace_page()).
 */
export default scenario({
  title: "ksmd merging two pages against hmm_range_fault",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const pages = yield* t.mmap(2);
    yield* t.store32(pages, 7);
    yield* t.store32(pages + 4096, 7);
    yield* t.madvise(pages, 2, Madv.MERGEABLE);
    yield* t.ksmScan();
    // The first page waits in the unstable tree for one like it.
    yield* t.ksmScan(1);
    return { pages };
  },

  threads: {
    ksmd: {
      on: { cpu: 0 },
      *run(t) {
        yield* t.ksmScan(1);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.pages + 4096, 8);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return first === 7 && second === 8 ? null : `the words are ${first} and ${second} instead of 7 and 8`;
  },
});
