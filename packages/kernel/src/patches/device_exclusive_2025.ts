import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { PTE, ptePresent, swapType } from "../arch/pgtable.js";
import type { Dmirror } from "../drivers/dmirror.js";
import { FollFlag } from "../mm/gup_flags.js";
import type { PteValue } from "../mm/ksm_merge.js";
import { RssKind, VM, type Mm, type Vma } from "../mm/mm_types.js";
import { NotifyEvent, type NotifierRange } from "../mm/mmu_notifier.js";
import { PG } from "../mm/page.js";
import { startWalk } from "../mm/page_vma_mapped.js";
import type { Patch } from "./patch.js";
import { writeOpcodeToCopy } from "./uprobes_2025.js";

/**
 * "mm: fixes for device-exclusive entries (hmm)", v2, February 2025: 17 patches, in their order.
 * Each undo restores what its patch changed, as the cover letter and the changelogs tell it.
 */
const SERIES = "mm: fixes for device-exclusive entries (hmm)";
const SINCE = "6.15";

/** Pages that the old driver took in one call. */
const RANGE_BATCH = 64;

/**
 * Before patch 1: a huge page of hugetlb is to be mapped page by page, as transparent ones are. It is of a file, whose entries
 * just go: the mapping is dropped, and counted off from memory that has never counted it. What comes next in Linux, a fault that
 * takes the empty table for the entry of a huge page, is not done: GUP fails with EFAULT.
 * @evidence documentation: the patch's changelog
 */
function undoSplitPmdHugetlb(base: KernelModules): Overlay {
  return {
    gup: {
      checkVmaFlags: (k: Kernel, vma: Vma, gup: number): number =>
        base.gup.checkVmaFlags(k, vma, vma.isHugetlb ? gup & ~FollFlag.SPLIT_PMD : gup),
      *followPageMask(k: Kernel, vma: Vma, vpn: number, gup: number, site: string): MaySleep<number> {
        const { pt } = k.m;
        if (k.m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
        const entry = pt.find(vma.mm.pgd, vpn);
        const splits = vma.isHugetlb && (gup & FollFlag.SPLIT_PMD) !== 0 && entry >= 0 && pt.isHuge(entry);
        if (!splits || !ptePresent(pt.flags(entry))) return yield* base.gup.followPageMask(k, vma, vpn, gup, site);
        yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
        return -Errno.EFAULT;
      },
    },
  };
}

/** Before patch 2: what patch 1 refuses, and nothing else stops; by itself nothing to be seen. */
function undoRejectHugetlb(_base: KernelModules): Overlay {
  return {
    rmap: {
      exclusiveSupported: (k: Kernel, folio: number): number => (k.m.memmap.isAnon(folio) ? 0 : -Errno.EOPNOTSUPP),
    },
  };
}

/** Before patch 3: a range at a time, and whatever went wrong with any page of it is EBUSY. */
function undoSinglePage(_base: KernelModules): Overlay {
  return {
    testHmm: {
      *dmirrorMakeExclusive(k: Kernel, dmirror: Dmirror, startVpn: number, endVpn: number): MaySleep<number> {
        for (let vpn = startVpn; vpn < endVpn; ) {
          const end = Math.min(endVpn, vpn + RANGE_BATCH);
          const pages = yield* makeRangeExclusive(k, dmirror.mm, vpn, end, dmirror.device);
          // The device maps the batch only if it got all of it.
          const whole = pages.length === end - vpn && pages.every((page) => page >= 0);
          let mapped = whole;
          for (let i = 0; mapped && i < pages.length; i++) {
            mapped = yield* k.testHmm.dmirrorAtomicMap(k, dmirror, vpn + i, pages[i]!);
          }
          for (const page of pages) {
            if (page < 0) continue;
            const folio = k.m.memmap.folioOf(page);
            yield* k.folioLock.folioUnlock(k, folio);
            yield* k.swap.folioPut(k, folio, "exclusive");
          }
          if (!whole) return -Errno.EBUSY;
          if (mapped) vpn = end;
          else {
            yield* k.mmuNotifier.intervalReadBegin(k, dmirror.notifier);
            if (k.m.retries.again("dmirror_exclusive")) yield SWITCH;
          }
        }
        return 0;
      },
    },
  };
}

/** GUP for the whole range, then each folio in turn: its page, locked and exclusive, or -1. */
function* makeRangeExclusive(k: Kernel, mm: Mm, start: number, end: number, owner: object): MaySleep<number[]> {
  const pages: number[] = [];
  for (let vpn = start; vpn < end; vpn++) {
    const flags = FollFlag.WRITE | FollFlag.SPLIT_PMD | FollFlag.TOUCH;
    const page = yield* k.gup.getUserPageRemote(k, mm, vpn, flags, "exclusive");
    if (page < 0) break;
    pages.push(page);
  }
  for (let i = 0; i < pages.length; i++) {
    const folio = k.m.memmap.folioOf(pages[i]!);
    // The first page stands for its folio, all of whose mappings are then replaced; the others are passed over.
    if (folio === pages[i] && (yield* k.folioLock.folioTrylock(k, folio))) {
      const supported = k.rmap.exclusiveSupported(k, folio) === 0;
      if (supported && (yield* k.rmap.exclusiveReplacePte(k, mm, start + i, folio, pages[i]!, owner))) continue;
      yield* k.folioLock.folioUnlock(k, folio);
    }
    yield* k.swap.folioPut(k, folio, "exclusive");
    pages[i] = -1;
  }
  return pages;
}

/** Before patch 4: a reverse walk over every mapping of the folio, which must then be unmapped. */
function undoFolioWalk(_base: KernelModules): Overlay {
  return {
    rmap: {
      *exclusiveReplacePte(
        k: Kernel,
        mm: Mm,
        vpn: number,
        folio: number,
        page: number,
        owner: object,
      ): MaySleep<boolean> {
        const { m } = k;
        let valid = false;
        yield* k.rmap.rmapWalkAnon(k, folio, function* (_k, _folio, vma, at): MaySleep<boolean> {
          const range: NotifierRange = {
            mm: vma.mm,
            startVpn: at,
            endVpn: Math.min(vma.endVpn, at + m.memmap.folioPages(folio)),
            event: NotifyEvent.EXCLUSIVE,
            owner,
          };
          yield* k.mmuNotifier.invalidateRangeStart(k, range);
          const walk = startWalk(k, folio, vma, at);
          while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
            // Only an ordinary entry is replaced: an exclusive one means that another device was faster.
            if ((m.pt.flags(walk.entry) & PTE.V) === 0) continue;
            yield* k.rmap.setExclusivePte(k, vma, walk.vpn, folio, walk.page, walk.entry);
            if (vma.mm === mm && walk.vpn === vpn && walk.page === page) valid = true;
          }
          yield* k.mmuNotifier.invalidateRangeEnd(k, range);
          return true;
        });
        if (m.point(Op.MapCount, folio)) yield SWITCH;
        return valid && m.memmap.folioMapcount(folio) === 0;
      },
    },
  };
}

/** Before patch 5: the entry's type says whether the page may be written when it is restored. */
function undoRestoreWritability(base: KernelModules): Overlay {
  return {
    memory: {
      exclusivePteWritability(
        k: Kernel,
        vma: Vma,
        _folio: number,
        _page: number,
        exclusiveFlags: number,
        flags: number,
      ): number {
        if ((flags & PTE.UFFD_WP) !== 0 || swapType(exclusiveFlags) !== k.swapops.SWP_DEVICE_EXCLUSIVE) return flags;
        const dirty = flags | PTE.D | PTE.SOFT_DIRTY;
        return (vma.flags & VM.WRITE) !== 0 ? dirty | PTE.W : dirty;
      },
    },
    mprotect: {
      // So mprotect must take the permission away from the entry itself.
      changedSwapPte(k: Kernel, vma: Vma, old: number): number {
        const writable = k.swapops.isDeviceExclusive(k, old) && swapType(old) === k.swapops.SWP_DEVICE_EXCLUSIVE;
        if (!writable || (vma.flags & VM.WRITE) !== 0) return base.mprotect.changedSwapPte(k, vma, old);
        const kept = old & (PTE.SWP_SOFT_DIRTY | PTE.SWP_UFFD_WP | PTE.SWP_EXCLUSIVE);
        return k.swapops.withSwapType(k.swapops.SWP_DEVICE_EXCLUSIVE_READ) | kept;
      },
    },
  };
}

/** Before patch 6: two types, one for writable entries and one for the others. */
function undoSingleType(_base: KernelModules): Overlay {
  return { swapops: { SWP_DEVICE_EXCLUSIVE: 29, SWP_DEVICE_EXCLUSIVE_READ: 30, MAX_SWAPFILES: 23 } };
}

/** Before patch 7: what replaces migration entries takes exclusive ones for such, too. */
function undoNotMigration(base: KernelModules): Overlay {
  return {
    pageVmaMapped: {
      countsAsMigration: (k: Kernel, flags: number): boolean =>
        base.pageVmaMapped.countsAsMigration(k, flags) || k.swapops.isDeviceExclusive(k, flags),
    },
  };
}

/**
 * Before patch 8: a copy of the page takes the place of an exclusive entry, too, and what the device has written since it was
 * made is lost. That happens where mmap_lock is held for reading, as it was until 6.18 by who takes away a breakpoint that it has hit.
 */
function undoUprobes(_base: KernelModules): Overlay {
  return {
    uprobeWrite: {
      *uprobeWriteOpcode(k: Kernel, vma: Vma, vaddr: number, opcode: number, isRegister: boolean): MaySleep<number> {
        return yield* writeOpcodeToCopy(k, vma, vaddr, opcode, isRegister, false);
      },
    },
  };
}

/**
 * Before patch 9: ksmd takes an exclusive entry for a present one. Of its bits it finds on riscv64 none that says that the page may be
 * written, and for that of a dirty page the lowest of the entry's type, which it clears. While such entries are no mappings a page that
 * a device has looks as if somebody else held it, and nothing comes of that.
 */
function undoKsm(base: KernelModules): Overlay {
  return {
    ksmMerge: {
      *entryProtected(k: Kernel, vma: Vma, folio: number, vpn: number, ptep: number): Atomic<PteValue | null> {
        const { m } = k;
        const flags = m.pt.flags(ptep);
        if (!k.swapops.isDeviceExclusive(k, flags)) return yield* base.ksmMerge.entryProtected(k, vma, folio, vpn, ptep);
        const [old, pfn] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
        if (m.point(Op.RefCompare, folio)) yield SWITCH;
        const held = m.memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio);
        if (held || !(yield* k.rmap.tryShareAnonRmap(k, folio, folio))) {
          yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, old, pfn);
          return null;
        }
        const type = swapType(old);
        if ((type & 1) !== 0) m.memmap.set(folio, PG.dirty);
        const clean = k.swapops.withSwapType(type & ~1) | (old & (PTE.SWP_SOFT_DIRTY | PTE.SWP_UFFD_WP | PTE.SWP_EXCLUSIVE));
        yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, clean, pfn);
        return { flags: clean, pfn };
      },
    },
  };
}

/**
 * Before patch 10: reclaim cannot replace an exclusive entry, either (see `undoMigrate`). While such
 * entries are no mappings it meets them in large folios only, of which a device has some pages.
 */
function undoUnmap(base: KernelModules): Overlay {
  return {
    rmap: {
      *unmapOneToSwap(
        k: Kernel,
        vma: Vma,
        vpn: number,
        folio: number,
        page: number,
        ptep: number,
      ): Atomic<boolean> {
        if (k.m.point(Op.PteRead, ptep)) yield SWITCH;
        if (k.swapops.isDeviceExclusive(k, k.m.pt.flags(ptep))) return true;
        return yield* base.rmap.unmapOneToSwap(k, vma, vpn, folio, page, ptep);
      },
    },
  };
}

/**
 * Before patch 11: migration cannot replace an exclusive entry. (It would take it for a present
 * one, and its bits for those of a frame; here it leaves it alone.) The folio stays mapped, and
 * never moves. Before patch 7 as well, what restores the folio's entries then takes the one that is
 * left for a migration entry, and counts it once more: where exclusive entries are no mappings, that
 * happens to large folios only, of which some other page is mapped.
 */
function undoMigrate(base: KernelModules): Overlay {
  return {
    rmap: {
      *setMigrationPte(
        k: Kernel,
        vma: Vma,
        vpn: number,
        folio: number,
        page: number,
        ptep: number,
      ): Atomic<boolean> {
        if (k.m.point(Op.PteRead, ptep)) yield SWITCH;
        if (k.swapops.isDeviceExclusive(k, k.m.pt.flags(ptep))) return false;
        return yield* base.rmap.setMigrationPte(k, vma, vpn, folio, page, ptep);
      },
    },
  };
}

/*
 * Before patches 13 to 15 an exclusive entry is taken for a present one. What that means is the processor's: the accessed bit of
 * riscv64 is the mark SWP_EXCLUSIVE in entries that are not present, which exclusive ones never have (elsewhere it is one of the
 * entry's type); and a frame is looked for two bits further right than the offset begins, behind bits of the type.
 */
const young = (flags: number): boolean => (flags & (ptePresent(flags) ? PTE.A : PTE.SWP_EXCLUSIVE)) !== 0;

/** Before patch 13: its accessed bit is read and cleared. On riscv64 nothing comes of it. */
function undoPageIdle(base: KernelModules): Overlay {
  return {
    pageIdle: {
      *clearYoungPte(k: Kernel, vma: Vma, vpn: number, entry: number): Atomic<boolean> {
        if (ptePresent(k.m.pt.flags(entry))) return yield* base.pageIdle.clearYoungPte(k, vma, vpn, entry);
        const old = yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (flags) => flags & ~PTE.SWP_EXCLUSIVE);
        return young(old);
      },
    },
  };
}

/** Before patch 14: its accessed bit is read. On riscv64 nothing comes of it. */
function undoDamonYoung(_base: KernelModules): Overlay {
  return { damon: { pteYoung: young } };
}

/** Before patch 15: a page frame is read from it that is not the page's. Mostly there is no such frame, and nobody is made old. */
function undoDamonMkold(base: KernelModules): Overlay {
  return {
    damon: {
      damonPtePfn(k: Kernel, entry: number): number {
        const pfn = base.damon.damonPtePfn(k, entry);
        const flags = k.m.pt.flags(entry);
        return ptePresent(flags) ? pfn : pfn * 4 + (swapType(flags) >> 3);
      },
    },
  };
}

/** Before patch 16: an exclusive entry is no mapping. The folio looks unmapped, but is referenced. */
function undoMapcount(base: KernelModules): Overlay {
  return {
    rmap: {
      *setExclusivePte(
        k: Kernel,
        vma: Vma,
        vpn: number,
        folio: number,
        page: number,
        ptep: number,
      ): MaySleep<void> {
        yield* base.rmap.setExclusivePte(k, vma, vpn, folio, page, ptep);
        yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
      },
    },
    memory: {
      *restoreExclusivePte(
        k: Kernel,
        vma: Vma,
        folio: number,
        page: number,
        vpn: number,
        ptep: number,
        exclusiveFlags: number,
      ): Atomic<void> {
        yield* base.memory.restoreExclusivePte(k, vma, folio, page, vpn, ptep, exclusiveFlags);
        yield* k.rmap.folioAddAnonRmapPte(k, folio, page, vma, vpn, k.m.memmap.has(page, PG.anonExclusive));
      },
    },
    zap: {
      *zapExclusivePte(k: Kernel, vma: Vma, pfn: number): Atomic<void> {
        vma.mm.addRss(RssKind.anon, -1);
        yield* k.swap.folioPutUnowned(k, k.m.memmap.folioOf(k.m.memmap.pfnToPage(pfn)));
      },
    },
    // Which the books of the invariants must know: see exclusiveEntriesAreMapped.
    swapops: { exclusiveEntriesAreMapped: () => false },
  };
}

/** Before patch 17: losing a race with reclaim or migration fails the whole call. */
function undoNoEbusy(_base: KernelModules): Overlay {
  return {
    rmap: {
      *exclusiveMissed(k: Kernel): MaySleep<number> {
        yield* k.m.sched.condResched();
        return -Errno.EBUSY;
      },
    },
  };
}

const patch = (name: string, title: string, rest: Omit<Patch, "name" | "title" | "series" | "since">): Patch => ({
  name,
  title,
  series: SERIES,
  since: SINCE,
  ...rest,
});

export const DEVICE_EXCLUSIVE_2025: readonly Patch[] = [
  patch("gup-split-pmd-hugetlb", "mm/gup: reject FOLL_SPLIT_PMD with hugetlb VMAs", {
    status: "modelled",
    undo: undoSplitPmdHugetlb,
  }),
  patch("exclusive-reject-hugetlb", "mm/rmap: reject hugetlb folios in folio_make_device_exclusive()", {
    status: "modelled",
    undo: undoRejectHugetlb,
  }),
  patch(
    "exclusive-single-page",
    "mm/rmap: convert make_device_exclusive_range() to make_device_exclusive()",
    { status: "modelled", undo: undoSinglePage },
  ),
  patch(
    "exclusive-folio-walk",
    "mm/rmap: implement make_device_exclusive() using folio_walk instead of rmap walk",
    { status: "modelled", undo: undoFolioWalk, neededBy: ["exclusive-mapcount"] },
  ),
  patch(
    "exclusive-restore-writability",
    "mm/memory: detect writability in restore_exclusive_pte() through can_change_pte_writable()",
    { status: "modelled", undo: undoRestoreWritability, neededBy: ["exclusive-single-type"] },
  ),
  patch("exclusive-single-type", "mm: use single SWP_DEVICE_EXCLUSIVE entry type", {
    status: "modelled",
    undo: undoSingleType,
  }),
  patch("exclusive-not-migration", "mm/page_vma_mapped: device-exclusive entries are not migration entries", {
    status: "modelled",
    undo: undoNotMigration,
  }),
  patch(
    "uprobes-exclusive",
    "kernel/events/uprobes: handle device-exclusive entries correctly in __replace_page()",
    { status: "modelled", undo: undoUprobes, neededBy: ["uprobe-write-in-place"] },
  ),
  patch("ksm-exclusive", "mm/ksm: handle device-exclusive entries correctly in write_protect_page()", {
    status: "modelled",
    undo: undoKsm,
  }),
  patch("unmap-exclusive", "mm/rmap: handle device-exclusive entries correctly in try_to_unmap_one()", {
    status: "modelled",
    undo: undoUnmap,
  }),
  patch("migrate-exclusive", "mm/rmap: handle device-exclusive entries correctly in try_to_migrate_one()", {
    status: "modelled",
    undo: undoMigrate,
  }),
  patch("mkclean-exclusive", "mm/rmap: handle device-exclusive entries correctly in page_vma_mkclean_one()", {
    status: "no-effect",
    note: "only shared mappings of files are made clean, and what a device has exclusively is anonymous: make_device_exclusive() refuses all else",
  }),
  patch(
    "page-idle-exclusive",
    "mm/page_idle: handle device-exclusive entries correctly in page_idle_clear_pte_refs_one()",
    { status: "modelled", undo: undoPageIdle },
  ),
  patch("damon-young-exclusive", "mm/damon: handle device-exclusive entries correctly in damon_folio_young_one()", {
    status: "modelled",
    undo: undoDamonYoung,
  }),
  patch("damon-mkold-exclusive", "mm/damon: handle device-exclusive entries correctly in damon_folio_mkold_one()", {
    status: "modelled",
    undo: undoDamonMkold,
  }),
  patch("exclusive-mapcount", "mm/rmap: keep mapcount untouched for device-exclusive entries", {
    status: "modelled",
    undo: undoMapcount,
  }),
  patch("exclusive-no-ebusy", "mm/rmap: avoid -EBUSY from make_device_exclusive()", {
    status: "modelled",
    undo: undoNoEbusy,
  }),
];
