import { scenario } from "@faultline/checker";

/**
 * A page that a driver holds, and writes to, is to move: it stays as long as anybody holds it
 * (Documentation/mm/page_migration.rst, on the references that are expected; FOLL_LONGTERM is another story).
 */
export default scenario({
  title: "migration against get_user_pages_fast",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page, true);
        yield* t.writeUserPage(page, 7);
        yield* t.putUserPage(page);
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
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `an update is lost: the word is ${value} instead of 7`;
  },
});
