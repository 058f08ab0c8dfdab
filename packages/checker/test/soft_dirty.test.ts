import { PM } from "@faultline/kernel";
import { expect, test } from "vitest";
import { explore, scenario } from "../src/index.js";

/*
 * Linux 7.2 loses writes here, and so does the engine: clear_refs takes the soft-dirty mark from a migration
 * entry, and leaves it the permission to write, which the page then has again at its new place. (In a virtual
 * machine with two nodes, a thread that calls move_pages() for a page whose writes another tracks shows it.)
 */
const clearRefsVsMigration = scenario({
  title: "clear_refs against migration",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page), dirty: true };
  },

  threads: {
    track: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.k.clearRefs.storeClearRefs(t.k, t.mm, "4");
        yield* t.store32(s.page, 2);
        const vpn = s.page / 4096;
        yield* t.k.pagemap.pagemapTable(t.k, t.mm, vpn, vpn + 1, (_vpn, flags) => (s.dirty = (flags & PM.SOFT_DIRTY) !== 0));
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
    yield* t.load32(s.page);
    return s.dirty ? null : "a page that was written to is not soft-dirty";
  },
});

test("a page that moves while its soft-dirty mark is cleared can be written unseen, as on Linux", () => {
  const { violation } = explore(clearRefsVsMigration, { preemptions: 2 });
  expect(violation).toMatchObject({ kind: "outcome", message: "a page that was written to is not soft-dirty" });
});
