import { scenario } from "@faultline/checker";

/**
 * A page moves to the node of the CPU that has met it by a hinting fault, while a CPU of its old node writes to it
 * (migrate_misplaced_folio()): nobody waits, so that the page may stay where it is, and no update is lost either way.
 */
export default scenario({
  title: "a page moves to the node that uses it, against a store",
  machine: { cpus: 2, nodes: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.numaScan(page, 1);
    return { page };
  },

  threads: {
    old: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    new: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 10);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 111 ? null : `an update is lost: the word is ${value} instead of 111`;
  },
});
