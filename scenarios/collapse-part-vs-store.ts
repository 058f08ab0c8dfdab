import { scenario } from "@faultline/checker";
import { Scan } from "@faultline/kernel";

const HUGE = 2 ** 21;
const PART = 2;

/**
 * khugepaged makes one folio of four pages out of the 512 of a table, which is out of the tree meanwhile, while others use a page
 * of the four and one beside them. Faults wait for mmap_lock or the VMA's; the page beside is as it was once the table is
 * back ("khugepaged: add mTHP collapse support", 2026).
 */
export default scenario({
  title: "CPU stores against a collapse of a part of their table",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const mapped = yield* t.mmap(1024);
    const pages = Math.ceil(mapped / HUGE) * HUGE;
    yield* t.store32(pages, 100);
    yield* t.store32(pages + 4 * 4096, 200);
    yield* t.drainLruBatches();
    // Only now, so that the pages above are single ones.
    t.k.m.thp.setSizeEnabled(PART, "always");
    return { pages, scanned: Scan.Fail };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.pages, 1);
        yield* t.atomicAdd32(s.pages + 4 * 4096, 1);
      },
    },
    khugepaged: {
      on: { cpu: 1 },
      *run(t, s) {
        s.scanned = yield* t.khugepagedScan(s.pages);
      },
    },
  },

  *check(t, s) {
    const inside = yield* t.load32(s.pages);
    const beside = yield* t.load32(s.pages + 4 * 4096);
    if (inside !== 101 || beside !== 201) return `the words are ${inside} and ${beside} instead of 101 and 201`;
    return s.scanned === Scan.Succeed ? null : `khugepaged says ${Scan[s.scanned]}`;
  },
});
