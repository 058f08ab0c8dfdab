import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A driver pins the pages of a file for its device rather than mirror them, and a hole is punched into the file and filled: does the
 * device see what is written then? No: the page that is pinned is the file's no more, and nobody says so. A device that mirrors
 * the same memory is told, and sees it ("mm/mmu_notifier: Add a new notifier for mapping updates", 2023).
 */
export default scenario({
  title: "does a pin follow a file into which a hole is punched?",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.deviceLoad32(0, page);
    return { page, begun: false, wrong: "" };
  },

  threads: {
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        s.begun = true;
        yield* t.madvise(s.page, 1, Madv.REMOVE);
        yield* t.store32(s.page, 9);
      },
    },
    driver: {
      on: { cpu: 1 },
      *run(t, s) {
        const pinned = yield* t.pinUserPage(s.page, false, true);
        if (pinned < 0) return;
        const ahead = !s.begun;
        const seen = yield* t.readUserPage(pinned);
        if (ahead && seen !== 7) s.wrong = `a page that was pinned ahead of the punch has ${seen}`;
        yield* t.unpinUserPage(pinned, false);
      },
    },
  },

  *check(t, s) {
    if (s.wrong !== "") return s.wrong;
    const last = yield* t.deviceLoad32(0, s.page);
    return last === 9 ? null : `the device reads ${last}, and the file has 9`;
  },
});
