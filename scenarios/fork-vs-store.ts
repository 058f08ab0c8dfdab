import { scenario } from "@faultline/checker";

/**
 * A process forks while another thread of it writes: the child has the page as it was before the write or
 * after it, and what it writes itself nobody else sees
 * ("mm: support GUP-triggered unsharing of anonymous pages", 2022).
 */
export default scenario({
  title: "fork against a write",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, child: 0 };
  },

  threads: {
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
  },

  *check(t, s) {
    if (s.child < 0) return "fork has failed";
    const theirs = yield* t.inChild(s.child, (child) => child.load32(s.page));
    if (theirs !== 1 && theirs !== 2) return `the child has ${theirs}, which nobody has written`;
    const ours = yield* t.load32(s.page);
    if (ours !== 2) return `the parent has ${ours} instead of 2`;
    yield* t.store32(s.page, 4);
    const kept = yield* t.inChild(s.child, (child) => child.atomicAdd32(s.page, 10));
    if (kept !== theirs) return `the child had ${theirs}, and has ${kept} after the parent has written`;
    const last = yield* t.load32(s.page);
    return last === 4 ? null : `the parent has ${last} instead of 4`;
  },
});
