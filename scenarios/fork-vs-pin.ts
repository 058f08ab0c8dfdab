import { scenario } from "@faultline/checker";

/**
 * A disk reads into a page that is pinned while the process forks and goes on writing. The page stays the parent's: the
 * child gets a copy at once, else the parent's next write would, and what the disk brings would go to the child's.
 */
export default scenario({
  title: "fork against an O_DIRECT pin",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    read: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.page, true);
        yield* t.writeUserPage(page, 9);
        yield* t.unpinUserPage(page, true);
      },
    },
    fork: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.fork();
        yield* t.store32(s.page + 4, 2);
      },
    },
  },

  *check(t, s) {
    const [read, wrote] = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    return read === 9 && wrote === 2 ? null : `the parent has ${read} and ${wrote} instead of 9 and 2`;
  },
});
