import { scenario } from "@faultline/checker";

/**
 * A process forks while a page of it is on its way to another frame: the child gets the page wherever it comes to be,
 * from the entry that stands in for it meanwhile ("mm: support GUP-triggered unsharing of anonymous pages", 2022).
 */
export default scenario({
  title: "fork against offlining",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page), child: 0 };
  },

  threads: {
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    offline: {
      on: { cpu: 1 },
      *run(t, s) {
        // One of the attempts of which offlining makes as many as it takes.
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    if (s.child < 0) return "fork has failed";
    yield* t.offline(s.frame);
    const frames = yield* t.inChild(s.child, function* (child) {
      const theirs = yield* child.load32(s.page);
      if (theirs !== 1) return `the child has ${theirs} instead of 1`;
      if (child.frameOf(s.page) === s.frame) return "the child's page has not moved";
      yield* child.store32(s.page, 2);
      return null;
    });
    if (frames !== null) return frames;
    const ours = yield* t.load32(s.page);
    return ours === 1 ? null : `the parent has ${ours} instead of 1`;
  },
});
