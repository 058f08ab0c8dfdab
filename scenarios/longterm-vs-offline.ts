import { scenario } from "@faultline/checker";

/**
 * Memory is to be emptied, and somebody wants to pin a page there for ever: it is moved first, by whoever comes first, and pinned
 * where it can stay ("mm/gup: migrate pinned pages out of movable zone", 2021).
 */
export default scenario({
  title: "a long-term pin against memory that is to be emptied",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    const frame = t.frameOf(page);
    t.isolatePageblock(frame);
    return { page, frame, pinned: -1 };
  },

  threads: {
    pin: {
      on: { cpu: 0 },
      *run(t, s) {
        s.pinned = yield* t.pinUserPage(s.page, true, true);
        if (s.pinned < 0) return;
        yield* t.writeUserPage(s.pinned, 7);
        yield* t.unpinUserPage(s.pinned, true);
      },
    },
    migrate: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    t.isolatePageblock(s.frame, false);
    if (s.pinned < 0) return s.pinned === -12 ? null : `the pin answers ${s.pinned}`;
    const value = yield* t.load32(s.page);
    if (s.pinned >> 9 === s.frame >> 9) return "the page is pinned for ever where it cannot stay";
    return value === 7 ? null : `the word is ${value} instead of 7`;
  },
});
