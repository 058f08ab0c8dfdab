/**
 * @linux mm/gup.c
 * @omits Disabled interrupts: the walk is a section of RCU, which is what holds back the freeing of tables.
 * @omits Entries that map 2 MiB or more are walked page by page.
 * @own gupFastPte
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, USER_VPN_END } from "../arch/pgtable.js";
import { FollFlag } from "./gup_flags.js";
import type { Mm } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { ShmemInode } from "./shmem_inode.js";

/*
 * GUP without locks: where something is mapped with the permission wanted, and stays so while its reference is taken.
 */

/**
 * Pages of the current address space with a reference each at `site`, added to `pages`: without locks as far as
 * that goes, the rest as `getUserPages`. How many, or where there is none a negated errno.
 */
export function* getUserPagesFast(k: Kernel, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  if (!k.gup.isValidGupArgs(k, gup, FollFlag.GET)) return -Errno.EINVAL;
  return yield* k.gupFast.gupFastFallback(k, start, nr, gup | FollFlag.GET, site, pages);
}

/** The same with pins. */
export function* pinUserPagesFast(k: Kernel, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  if (!k.gup.isValidGupArgs(k, gup, FollFlag.PIN)) return -Errno.EINVAL;
  return yield* k.gupFast.gupFastFallback(k, start, nr, gup | FollFlag.PIN, site, pages);
}

/** Checked arguments. -EOVERFLOW, -EFAULT for what is no user address. */
export function* gupFastFallback(k: Kernel, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  const mm = k.m.current!.mm!;
  if ((gup & FollFlag.PIN) !== 0) yield* k.gupPin.setHasPinned(k, mm);
  if (start + nr >= 2 ** 52) return -Errno.EOVERFLOW;
  if (start + nr > USER_VPN_END) return -Errno.EFAULT;
  const fast = yield* k.gupFast.gupFast(k, mm, start, nr, gup, site, pages);
  if (fast === nr || (gup & FollFlag.FAST_ONLY) !== 0) return fast;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const slow = yield* k.gup.gupLocked(k, mm, start + fast, nr - fast, gup | FollFlag.TOUCH | FollFlag.UNLOCKABLE, site, pages);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (slow < 0) return fast > 0 ? fast : slow;
  return fast + slow;
}

/** How many pages could be had without locks; pins only where fork is not about to share pages meanwhile. */
export function* gupFast(k: Kernel, mm: Mm, start: number, nr: number, gup: number, site: string, pages: number[]): Atomic<number> {
  const { m } = k;
  const pins = (gup & FollFlag.PIN) !== 0;
  if (pins && m.point(Op.MmCounter, mm.id)) yield SWITCH;
  const seq = mm.writeProtectSeq;
  if (pins && seq % 2 !== 0) return 0;
  const before = pages.length;
  // Linux has interrupts off, which holds off grace periods as a section does.
  k.rcu.rcuReadLock(k);
  for (let vpn = start; vpn < start + nr; vpn++) {
    const page = yield* k.gupFast.gupFastPte(k, mm, vpn, gup, site);
    if (page === NO_PAGE) break;
    pages.push(page);
  }
  if (!k.rcu.tryRcuReadUnlock(k)) yield* k.rcu.rcuReadUnlock(k);
  if (!pins) return pages.length - before;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  if (mm.writeProtectSeq !== seq) for (const page of pages.splice(before)) yield* k.gupPin.gupPutFolio(k, m.memmap.folioOf(page), gup, site);
  return pages.length - before;
}

/**
 * The page that an entry maps with the permission wanted, whichever level it is of; NO_PAGE to go the slow way. The
 * entry is read again once the reference is there: who cleared it meanwhile may have freed the page.
 */
export function* gupFastPte(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): Atomic<number> {
  const { m } = k;
  const { memmap, pt } = m;
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const ptep = pt.find(mm.pgd, vpn);
  if (ptep < 0) return NO_PAGE;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = pt.flags(ptep);
  const pfn = pt.pfn(ptep);
  const need = (gup & FollFlag.WRITE) !== 0 ? PTE.V | PTE.W : PTE.V;
  if ((flags & need) !== need || (flags & PTE.SPECIAL) !== 0) return NO_PAGE;
  const page = memmap.pfnToPage(pt.pfnFor(ptep, vpn));
  const folio = memmap.folioOf(page);
  if (!(yield* k.gupPin.tryGrabFolioFast(k, folio, gup, site))) return NO_PAGE;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  m.touches(Op.TableRead, tableObject(mm.id, vpn));
  // Fork, and whoever takes the page's exclusiveness away, clears or protects the entry before it looks for pins.
  const stays = pt.same(ptep, flags, pfn) && pt.find(mm.pgd, vpn) === ptep && memmap.folioOf(page) === folio;
  const shared = (flags & PTE.W) === 0 && k.gup.mustUnshare(k, null, memmap.pfnToPage(pfn), gup);
  if (!stays || shared || !(yield* k.gupFast.gupFastFolioAllowed(k, folio, gup))) {
    yield* k.gupPin.gupPutFolio(k, folio, gup, site);
    return NO_PAGE;
  }
  memmap.set(folio, PG.referenced);
  return page;
}

/** Whether a folio can be had by who does not look at the VMA: a file may have to know of writes to it. */
export function* gupFastFolioAllowed(k: Kernel, folio: number, gup: number): Atomic<boolean> {
  const { memmap, mappings } = k.m;
  k.m.touches(Op.PageFlags, folio);
  if (k.filemap.isSecretFolio(k, folio)) return false;
  if ((gup & (FollFlag.PIN | FollFlag.WRITE)) !== (FollFlag.PIN | FollFlag.WRITE)) return true;
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  if (memmap.has(folio, PG.hugetlb) || memmap.isAnon(folio)) return true;
  // Truncated: the slow way knows more.
  if (!memmap.isFile(folio)) return false;
  return mappings.get(memmap.mapping[folio]! >> 1)?.host instanceof ShmemInode;
}
