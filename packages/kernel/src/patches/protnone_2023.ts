import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { FollFlag } from "../mm/gup_flags.js";
import type { Mm, Vma } from "../mm/mm_types.js";
import type { Patch } from "./patch.js";

/**
 * "smaps / mm/gup: fix gup_can_follow_protnone fallout", 2023, of which its last version has these, in their order. Since "mm/gup:
 * replace FOLL_NUMA by gup_can_follow_protnone()" (6.1) whoever looked at an entry of another's saw no page where it grants nothing.
 */
const SERIES = "smaps / mm/gup: fix gup_can_follow_protnone fallout";

/** Whether an entry that grants nothing just now is what an address has. */
function* isProtnone(k: Kernel, vma: Vma, vpn: number): MaySleep<boolean> {
  const found = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: true });
  if (found === null) return false;
  yield* k.folioWalk.folioWalkEnd(k, found);
  return (found.flags & PTE.PROT_NONE) !== 0;
}

/** Before it: follow_page(), of which move_pages(2) has the pages, finds none. -ENOENT is what the program is told. */
function* seesNothing(k: Kernel, mm: Mm, vpn: number): MaySleep<boolean> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(vpn);
  const nothing = vma !== null && (yield* isProtnone(k, vma, vpn));
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return nothing;
}

function undoHonor(base: KernelModules): Overlay {
  return {
    mbind: {
      *nodeOfPage(k: Kernel, mm: Mm, vpn: number): MaySleep<number> {
        if (yield* seesNothing(k, mm, vpn)) return -Errno.ENOENT;
        return yield* base.mbind.nodeOfPage(k, mm, vpn);
      },
      *addFolioForMigration(k: Kernel, mm: Mm, vpn: number, node: number, flags: number, folios: number[]): MaySleep<number> {
        if (yield* seesNothing(k, mm, vpn)) return -Errno.ENOENT;
        return yield* base.mbind.addFolioForMigration(k, mm, vpn, node, flags, folios);
      },
    },
  };
}

/** Before it: smaps has the page of an entry for 2 MiB from GUP's own walk, which sees none where the entry grants nothing. */
function undoSmaps(base: KernelModules): Overlay {
  return {
    taskMmu: {
      smapsPmdCounts: (k: Kernel, flags: number): boolean => (flags & PTE.PROT_NONE) === 0 && base.taskMmu.smapsPmdCounts(k, flags),
    },
  };
}

/** Before it: whoever does not force his way makes hinting faults, wanted or not. */
function undoNotImplicit(base: KernelModules): Overlay {
  return {
    gup: {
      entryPermits: (k: Kernel, vma: Vma, flags: number, page: number, gup: number): boolean =>
        base.gup.entryPermits(k, vma, flags, page, (gup & FollFlag.FORCE) !== 0 ? gup : gup | FollFlag.HONOR_NUMA_FAULT),
    },
  };
}

export const GUP_NOT_IMPLICIT_2023: Patch = {
  name: "gup-numa-not-implicit",
  title: "mm/gup: don't implicitly set FOLL_HONOR_NUMA_FAULT",
  series: SERIES,
  since: "6.6",
  status: "modelled",
  undo: undoNotImplicit,
};

export const PROTNONE_2023: readonly Patch[] = [
  {
    name: "gup-honor-numa-fault",
    title: "mm/gup: reintroduce FOLL_NUMA as FOLL_HONOR_NUMA_FAULT",
    series: SERIES,
    since: "6.5",
    status: "modelled",
    neededBy: [GUP_NOT_IMPLICIT_2023.name],
    undo: undoHonor,
  },
  {
    name: "smaps-pmd-page",
    title: "smaps: use vm_normal_page_pmd() instead of follow_trans_huge_pmd()",
    series: SERIES,
    since: "6.5",
    status: "modelled",
    undo: undoSmaps,
  },
  GUP_NOT_IMPLICIT_2023,
];
