import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

const HUGE = 2 ** 21;

/**
 * 2 MiB are moved while the process forks: the child has the migration entry, too, and neither may write without a copy
 * afterwards (copy_huge_pmd()).
 */
export default scenario({
  title: "fork against migration of a huge page",
  machine: { cpus: 2, devices: 0, frames: 4096 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.madvise(pages, 512, Madv.HUGEPAGE);
    yield* t.store32(pages, 100);
    yield* t.drainLruBatches();
    return { pages, frame: t.frameOf(pages), child: 0 };
  },

  threads: {
    migrate: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
    fork: {
      on: { cpu: 0 },
      *run(t, s) {
        s.child = yield* t.fork();
        yield* t.store32(s.pages, 7);
      },
    },
  },

  *check(t, s) {
    if (s.child < 0) return `fork() answers ${s.child}`;
    const mine = yield* t.load32(s.pages);
    const theirs = yield* t.inChild(s.child, (child) => child.load32(s.pages));
    return mine === 7 && theirs === 100 ? null : `the parent has ${mine}, and the child ${theirs}`;
  },
});
