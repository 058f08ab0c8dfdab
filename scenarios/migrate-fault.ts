import { scenario } from "@faultline/checker";

/**
 * A page moves to another frame while a CPU adds to it: the fault waits for the migration entry to go
 * ("mm/migrate.c: rework migration_entry_wait() to not take a pageref", 2022).
 */
export default scenario({
  title: "migration against CPU fault",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    offline: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.offline(s.frame);
      },
    },
  },

  *check(t, s) {
    if (t.frameOf(s.page) === s.frame) return "the page has not moved";
    const value = yield* t.load32(s.page);
    return value === 102 ? null : `an update is lost: the word is ${value} instead of 102`;
  },
});
