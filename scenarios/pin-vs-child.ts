import { scenario } from "@faultline/checker";

/**
 * A device is to see what the parent writes from now on, and has only asked to read; the page is a child's as well. It is pinned
 * as a copy of the parent's own, else the parent's next write would go to a copy, and the device go on with the child's page
 * ("mm: COW fixes part 2: reliable GUP pins of anonymous pages", 2022).
 */
export default scenario({
  title: "a pin for reading against a write, of a page that a child has",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.fork();
    yield* t.drainLruBatches();
    return { page, pinned: -1, seen: 0 };
  },

  threads: {
    pin: {
      on: { cpu: 0 },
      *run(t, s) {
        s.pinned = yield* t.pinUserPage(s.page, false);
        yield* t.store32(s.page, 2);
        s.seen = yield* t.readUserPage(s.pinned);
        yield* t.unpinUserPage(s.pinned, false);
      },
    },
    write: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page + 4, 3);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    if (first !== 2 || second !== 3) return `the parent has ${first} and ${second} instead of 2 and 3`;
    return s.seen === 2 ? null : `the device sees ${s.seen} instead of 2`;
  },
});
