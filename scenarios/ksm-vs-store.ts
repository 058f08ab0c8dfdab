import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * ksmd merges two pages of equal contents while one of them is written. It write-protects a page before it compares it, and looks
 * once more at the entry before it maps the other page there: what is written in between is not lost, and nobody else reads it.
 */
export default scenario({
  title: "ksmd merging two pages against a store",
  machine: { cpus: 2, devices: 0 },

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
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.pages, 8);
        yield* t.store32(s.pages + 4096 + 4, 9);
      },
    },
  },

  *check(t, s) {
    const first = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4)];
    const second = [yield* t.load32(s.pages + 4096), yield* t.load32(s.pages + 4096 + 4)];
    return first.join() === "8,0" && second.join() === "7,9" ? null : `the pages have ${first.join()} and ${second.join()} instead of 8,0 and 7,9`;
  },
});
