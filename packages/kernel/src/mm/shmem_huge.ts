/**
 * @linux mm/shmem.c
 * @own alignedWithFile, allowableHugeOrders, holes, mayMapPmd, shmemAllocHuge, swapCached
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { radixToSwpEntry, xaIsValue } from "./address_space.js";
import { GFP_TRANSHUGE_LIGHT } from "./gfp.js";
import type { Vmf } from "./memory.js";
import { VM, type Mm, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { shmemInode, type ShmemInode } from "./shmem_inode.js";
import { SHMEM_MIN_ORDER, type ShmemSizeEnabled } from "./thp.js";

/* Large folios of files in memory. Sets of orders are masks: bit n for order n. */

/** What files may have at all: orders 1 to 9. */
const ALL_ORDERS = (1 << (HPAGE_PMD_ORDER + 1)) - 2;
const PMD_ORDER = 1 << HPAGE_PMD_ORDER;

/** A page of a mapping. */
type Where = Pick<Vmf, "vma" | "vpn">;

/**
 * The orders that may be used for what a file lacks at an index: by the settings for all sizes and for each, the
 * `huge` option of the mount, and advice. `writeEnd`: as long the file will be in bytes, if it is not yet.
 * `forced`: whatever the settings for all sizes say, as MADV_COLLAPSE wants.
 */
export function allowableHugeOrders(k: Kernel, inode: ShmemInode, vma: Vma | null, index: number, writeEnd: number, forced: boolean): number {
  const { thp } = k.m;
  if (vma !== null && k.hugeMemory.vmaThpDisabled(k, vma, forced)) return 0;
  const global = globalOrders(k, inode, vma, index, writeEnd, forced);
  // Shared anonymous memory goes by each size's own setting.
  if (vma === null || !inode.anonymous) return global;
  if (thp.shmemEnabled === "deny") return 0;
  const set = (enabled: ShmemSizeEnabled): number => ordersSet(k, enabled);
  if (thp.shmemEnabled === "force") return set("inherit");
  let orders = set("always") | ordersWithin(inode, set("within_size"), index, 0);
  if ((vma.flags & VM.HUGEPAGE) !== 0) orders |= set("advise");
  if (global !== 0) orders |= set("inherit");
  return orders;
}

/** What the settings for all sizes, or for the mount, allow. */
function globalOrders(k: Kernel, inode: ShmemInode, vma: Vma | null, index: number, writeEnd: number, forced: boolean): number {
  const { shmemEnabled } = k.m.thp;
  if (shmemEnabled === "deny") return 0;
  if (forced || shmemEnabled === "force") return PMD_ORDER;
  // The tmpfs that nobody sees has what all have.
  const huge = inode.sb === k.m.shmem ? shmemEnabled : inode.sb.huge;
  if (huge === "always") return ALL_ORDERS;
  if (huge === "within_size" && ordersWithin(inode, ALL_ORDERS, index, writeEnd) !== 0) return ordersWithin(inode, ALL_ORDERS, index, writeEnd);
  return (huge === "advise" || huge === "within_size") && vma !== null && (vma.flags & VM.HUGEPAGE) !== 0 ? PMD_ORDER : 0;
}

/** The orders whose setting is this one. */
function ordersSet(k: Kernel, enabled: ShmemSizeEnabled): number {
  let orders = 0;
  for (let order = SHMEM_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) if (k.m.thp.shmemSizeEnabled(order) === enabled) orders |= 1 << order;
  return orders;
}

/** Those of a mask by which a folio around an index ends within the file. */
function ordersWithin(inode: ShmemInode, mask: number, index: number, writeEnd: number): number {
  const pages = Math.ceil(Math.max(writeEnd, inode.size) / 4096);
  let orders = mask;
  for (let order = HPAGE_PMD_ORDER; order >= SHMEM_MIN_ORDER; order--) {
    if ((orders & (1 << order)) === 0) continue;
    if (pages >= Math.ceil((index + 1) / (1 << order)) * (1 << order)) return orders;
    orders &= ~(1 << order);
  }
  return 0;
}

/**
 * Fills a hole with a folio of the largest order of a mask that there is room for, its contents yet to come: the
 * page at the index, the folio locked and referenced. -EEXIST where somebody was faster; NO_PAGE where it must be a small one.
 */
export function* shmemAllocHuge(k: Kernel, inode: ShmemInode, index: number, orders: number, at: Where | null, site: string): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const memcg = at === null ? m.current!.memcg : m.memcgs.ofMm(at.vma.mm);
  for (let order = HPAGE_PMD_ORDER; order >= SHMEM_MIN_ORDER; order--) {
    const pages = 1 << order;
    const start = index & -pages;
    if ((orders & pages) === 0 || (at !== null && !fits(at, order))) continue;
    if (m.point(Op.PageCacheRead, inode.mapping.object(start))) yield SWITCH;
    if (!k.shmemHuge.holes(k, inode, start, pages)) continue;
    const gfp = at === null ? GFP_TRANSHUGE_LIGHT : k.hugeMemory.thpGfp(k, at.vma);
    const folio = yield* k.pageAlloc.allocFolio(k, gfp, order, at === null ? null : k.mempolicy.vmaNodes(k, at.vma, at.vpn, order));
    if (folio === NO_PAGE) {
      countFallback(k, order, false);
      continue;
    }
    if (!(yield* k.memcg.chargeLargeFolio(k, folio, memcg))) {
      yield* k.swap.folioPut(k, folio, "alloc");
      countFallback(k, order, true);
      return NO_PAGE;
    }
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (!inode.sb.acctBlocks(pages)) {
      yield* k.swap.folioPut(k, folio, "alloc");
      return NO_PAGE;
    }
    m.refs?.put(folio, "alloc");
    m.refs?.get(folio, site);
    k.folioLock.lockNewFolio(k, folio);
    memmap.set(folio, PG.swapbacked);
    if (yield* k.filemap.filemapAddFolio(k, inode.mapping, folio, start, NO_PAGE)) {
      m.thp.stats(order).shmem_alloc++;
      if (order === HPAGE_PMD_ORDER) m.vmstat.events.thp_file_alloc++;
      yield* k.swap.folioAddLru(k, folio);
      return folio + (index - start);
    }
    inode.sb.unacctBlocks(pages);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, site);
    return -Errno.EEXIST;
  }
  return NO_PAGE;
}

function countFallback(k: Kernel, order: number, charge: boolean): void {
  const { events } = k.m.vmstat;
  const stats = k.m.thp.stats(order);
  stats.shmem_fallback++;
  if (charge) stats.shmem_fallback_charge++;
  if (order !== HPAGE_PMD_ORDER) return;
  events.thp_file_fallback++;
  if (charge) events.thp_file_fallback_charge++;
}

/** Whether a VMA has room around a page for a folio of a file, where that would begin at a multiple of its size. */
function fits({ vma, vpn }: Where, order: number): boolean {
  return alignedWithFile(vma, order) && (vpn & -(1 << order)) >= vma.startVpn && (vpn & -(1 << order)) + (1 << order) <= vma.endVpn;
}

/** Whether indexes in the file and addresses have the same remainder, so that a folio of an order could be mapped as a whole. */
export function alignedWithFile(vma: Vma, order: number): boolean {
  return ((vma.startVpn - vma.pgoff) & ((1 << order) - 1)) === 0;
}

/** Whether a file has nothing in a range; the caller has announced a look at its first page. */
export function holes(k: Kernel, inode: ShmemInode, start: number, pages: number): boolean {
  for (let i = 0; i < pages; i++) {
    k.m.touches(Op.PageCacheRead, inode.mapping.object(start + i));
    if (inode.mapping.at(start + i) !== NO_PAGE) return false;
  }
  return true;
}

/** The page that the swap cache has for a slot; NO_PAGE where it must be read. */
export function swapCached(k: Kernel, slot: number): number {
  k.m.touches(Op.SwapCache, slot);
  return k.m.swap.cache[slot]!;
}

/** Whether a fault at a page may map 2 MiB of its file as one: there is such a folio, or may be. */
export function mayMapPmd(k: Kernel, vma: Vma, vpn: number): boolean {
  const inode = shmemInode(vma.file);
  if (inode === null || vma.uffd !== null || !fits({ vma, vpn }, HPAGE_PMD_ORDER) || k.hugeMemory.vmaThpDisabled(k, vma, false)) return false;
  const index = vma.linearIndex(vpn);
  k.m.touches(Op.PageCacheRead, inode.mapping.object(index));
  const entry = inode.mapping.at(index);
  const page = xaIsValue(entry) ? k.shmemHuge.swapCached(k, radixToSwpEntry(entry)) : entry;
  if (page >= 0) return k.m.memmap.order[k.m.memmap.folioOf(page)] === HPAGE_PMD_ORDER;
  k.m.touches(Op.Inode, inode.ino);
  const start = index & -HPAGE_PMD_NR;
  return entry === NO_PAGE && (k.shmemHuge.allowableHugeOrders(k, inode, vma, index, 0, false) & PMD_ORDER) !== 0 && k.shmemHuge.holes(k, inode, start, HPAGE_PMD_NR);
}

/**
 * Room for a mapping of a file in memory: where its pages can be mapped by as large folios as it may have, if it is long
 * enough for one, and no address was asked for that is free. -1: no room.
 */
export function shmemGetUnmappedArea(k: Kernel, mm: Mm, hint: number, pages: number, inode: ShmemInode, pgoff: number): number {
  const found = k.mmap.getUnmappedArea(k, mm, hint, pages);
  const align = 1 << alignmentOrder(k, inode);
  const offset = pgoff & (align - 1);
  if (found < 0 || align === 1 || (hint > 0 && found === hint) || pages < align) return found;
  if ((offset > 0 && offset + pages < 2 * align) || (found & (align - 1)) === offset) return found;
  const padded = k.mmap.getUnmappedArea(k, mm, 0, pages + align - 1);
  if (padded < 0) return found;
  const over = padded & (align - 1);
  return padded + offset - over + (over > offset ? align : 0);
}

/** The largest order that a file may have folios of anywhere. */
function alignmentOrder(k: Kernel, inode: ShmemInode): number {
  const { thp } = k.m;
  if (thp.shmemEnabled === "deny") return 0;
  if (thp.shmemEnabled === "force") return HPAGE_PMD_ORDER;
  const huge = inode.sb === k.m.shmem ? thp.shmemEnabled : inode.sb.huge;
  if (!inode.anonymous) return huge === "never" ? 0 : HPAGE_PMD_ORDER;
  const sizes: ShmemSizeEnabled[] = huge === "never" ? ["always", "within_size", "advise"] : ["always", "within_size", "advise", "inherit"];
  const orders = sizes.reduce((mask, enabled) => mask | ordersSet(k, enabled), 0);
  return orders === 0 ? (huge === "never" ? 0 : HPAGE_PMD_ORDER) : 31 - Math.clz32(orders);
}
