import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A driver holds a page by get_user_pages_fast(), and writes to it, while ksmd merges it with another: who may write to a page
 * otherwise than by its entry keeps it from being merged (write_protect_page()).
 */
export default scenario({
  title: "ksmd merging two pages against get_user_pages_fast",
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
    gup: {
      on: { cpu: 1 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.pages, true);
        yield* t.writeUserPage(page, 8);
        yield* t.putUserPage(page);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return first === 8 && second === 7 ? null : `the words are ${first} and ${second} instead of 8 and 7`;
  },
});
