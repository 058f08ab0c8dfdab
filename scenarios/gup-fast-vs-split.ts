import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * A walk without locks takes a page of 2 MiB that one entry maps, while a part of it is thrown away, and all of it mapped page by
 * page for that: the reference is to the folio, and what the entry says is looked at again.
 */
export default scenario({
  title: "get_user_pages_fast against the split of a huge entry",
  machine: { cpus: 2, devices: 0, frames: 4096 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.madvise(pages, 512, Madv.HUGEPAGE);
    yield* t.store32(pages, 100);
    yield* t.store32(pages + 4096, 101);
    yield* t.drainLruBatches();
    return { pages, other: -1 };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.pages + 4096, true);
        yield* t.writeUserPage(page, 7);
        yield* t.unpinUserPage(page, true);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.pages, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const [gone, kept] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return gone === 0 && kept === 7 ? null : `the words are ${gone} and ${kept} instead of 0 and 7`;
  },
});
