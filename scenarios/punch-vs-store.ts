import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/** A hole is punched into a file while a mapping of it writes there: before, into what goes; or behind, into a new page. */
export default scenario({
  title: "punching a hole against a store",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.REMOVE);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page + 4, 9);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    if (first !== 0) return `${first} is in the hole`;
    return second === 0 || second === 9 ? null : `${second} was never written`;
  },
});
