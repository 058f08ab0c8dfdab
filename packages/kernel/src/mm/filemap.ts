/**
 * @linux mm/filemap.c
 * @omits Reading ahead of read(), a window that grows and shrinks, writing back, and errors that are kept for fsync():
 *   tmpfs and hugetlbfs have pages, the host's files are read page by page, those around a fault with it, and never written.
 * @omits The page cache is a map from index to page or swap entry, not an xarray: its own memory is not charged, and
 *   lookups hold no reference to nodes.
 * @omits Shadow entries of pages that were reclaimed.
 * @own accountShmemThp, addFolio, dropFolio, filemapLockEntry, filemapVmOps, isSecretFolio, mayDropLock
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { xaIsValue, type AddressSpace } from "./address_space.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { Gfp, GFP_ANON_FOLIO } from "./gfp.js";
import type { Vmf } from "./memory.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import type { VmOps } from "./vm_ops.js";

/**
 * The page at an index, its folio referenced at `site`; or the swap entry, or NO_PAGE for a hole.
 * No lock is taken: where the answer must stay true, the caller locks the folio and looks again.
 */
export function* filemapGetEntry(k: Kernel, mapping: AddressSpace, index: number, site: string): Atomic<number> {
  const { m } = k;
  for (;;) {
    if (m.point(Op.PageCacheRead, mapping.object(index))) yield SWITCH;
    const entry = mapping.at(index);
    if (entry < 0) return entry;
    const folio = m.memmap.folioOf(entry);
    if (yield* k.swap.folioTryGet(k, folio, site)) {
      m.touches(Op.PageCacheRead, mapping.object(index));
      if (mapping.at(index) === entry && m.memmap.folioOf(entry) === folio) return entry;
      yield* k.swap.folioPut(k, folio, site);
      if (m.retries.again("filemap_get_entry")) yield SWITCH;
      continue;
    }
    // Without a reference it is on its way out: who froze it takes it out.
    if (m.retries.again("filemap_get_entry", () => mapping.at(index) !== entry)) yield SWITCH;
  }
}

/**
 * The same with the folio locked: it is in the file at that index for as long as the lock is held.
 */
export function* filemapLockEntry(k: Kernel, mapping: AddressSpace, index: number, site: string): MaySleep<number> {
  const { m } = k;
  for (;;) {
    const page = yield* k.filemap.filemapGetEntry(k, mapping, index, site);
    if (page < 0) return page;
    const folio = m.memmap.folioOf(page);
    if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
    m.touches(Op.PageCacheRead, mapping.object(index));
    if (mapping.at(index) === page) return page;
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, site);
    if (m.retries.again("filemap_lock_folio")) yield SWITCH;
  }
}

/**
 * Puts a locked folio into a file in place of what is `expected` there (NO_PAGE, or a swap entry);
 * false, and nothing done, where there is something else. The file takes a reference for each page.
 */
export function* filemapAddFolio(k: Kernel, mapping: AddressSpace, folio: number, index: number, expected: number): Atomic<boolean> {
  const { m } = k;
  const pages = entriesOf(k, folio);
  if (m.point(Op.PageCacheWrite, mapping.object(index))) yield SWITCH;
  for (let i = 0; i < pages; i++) {
    if (i > 0) m.touches(Op.PageCacheWrite, mapping.object(index + i));
    // Slots side by side have entries that go down.
    if (mapping.at(index + i) !== (xaIsValue(expected) ? expected - i : expected)) return false;
  }
  k.filemap.addFolio(k, mapping, folio, index);
  return true;
}

/** The step of `filemapAddFolio` itself, for callers that have announced it. */
export function addFolio(k: Kernel, mapping: AddressSpace, folio: number, index: number): void {
  const { m } = k;
  const { memmap } = m;
  const pages = entriesOf(k, folio);
  m.mappings.add(mapping);
  for (let i = 0; i < pages; i++) mapping.entries.set(index + i, folio + i);
  m.touches(Op.RefGet, folio);
  m.touches(Op.PageFlags, folio);
  memmap.refcount[folio]! += memmap.folioPages(folio);
  memmap.mapping[folio] = mapping.id << 1;
  memmap.index[folio] = index;
  accountCached(k, folio, pages);
}

/**
 * Takes a locked folio out of its file, and leaves `replacement` (NO_PAGE, or a swap entry) there.
 * The references that the file had are the caller's to drop.
 */
export function* filemapRemoveFolio(k: Kernel, folio: number, replacement = NO_PAGE): Atomic<void> {
  const { m } = k;
  const mapping = k.filemap.folioMapping(k, folio)!;
  if (m.point(Op.PageCacheWrite, mapping.object(m.memmap.index[folio]!))) yield SWITCH;
  k.filemap.dropFolio(k, mapping, folio, replacement);
}

/** The step of `filemapRemoveFolio` itself, for callers that have announced it. */
export function dropFolio(k: Kernel, mapping: AddressSpace, folio: number, replacement = NO_PAGE): void {
  const { m } = k;
  const { memmap } = m;
  const index = memmap.index[folio]!;
  const pages = entriesOf(k, folio);
  for (let i = 0; i < pages; i++) {
    m.touches(Op.PageCacheWrite, mapping.object(index + i));
    if (replacement === NO_PAGE) mapping.entries.delete(index + i);
    else mapping.entries.set(index + i, replacement - i);
  }
  m.touches(Op.PageFlags, folio);
  accountCached(k, folio, -pages);
  memmap.mapping[folio] = 0;
  memmap.index[folio] = 0;
}

/** The file that a folio belongs to, or null. */
export function folioMapping(k: Kernel, folio: number): AddressSpace | null {
  const { memmap, mappings } = k.m;
  return memmap.isAnon(folio) ? null : (mappings.get(memmap.mapping[folio]! >> 1) ?? null);
}

/** Whether a folio is of memfd_secret(2). */
export function isSecretFolio(k: Kernel, folio: number): boolean {
  return k.m.memmap.isFile(folio) && k.filemap.folioMapping(k, folio)?.host.secret === true;
}

/** The entries that a folio has in its file. */
function entriesOf(k: Kernel, folio: number): number {
  return k.m.memmap.has(folio, PG.hugetlb) ? 1 : k.m.memmap.folioPages(folio);
}

/** Pages of page cache more, or (negative) less. */
function accountCached(k: Kernel, folio: number, pages: number): void {
  const { memmap, vmstat, memcgs } = k.m;
  // What belongs to a pool of huge pages is no page cache.
  if (memmap.has(folio, PG.hugetlb)) return;
  const { counters } = memcgs.get(memmap.memcg[folio]!);
  vmstat.pages.filePages += pages;
  counters.file += pages;
  if (!memmap.has(folio, PG.swapbacked)) return;
  vmstat.pages.shmem += pages;
  counters.shmem += pages;
  if (memmap.order[folio] === HPAGE_PMD_ORDER) k.filemap.accountShmemThp(k, folio, pages);
}

/** Pages of folios of 2 MiB that files in memory have. */
export function accountShmemThp(k: Kernel, folio: number, pages: number): void {
  const { memmap, vmstat, memcgs } = k.m;
  vmstat.pages.shmemThps += pages;
  memcgs.get(memmap.memcg[folio]!).counters.shmemThp += pages;
}

/* Files that are read from somewhere. */

/** Where the contents of a file come from. */
export interface ReadsFolios {
  /** Fills a locked folio that nobody maps yet; 0 or a negated errno. Takes the machine time that it takes. */
  readFolio(k: Kernel, folio: number, index: number): MaySleep<number>;
  /** GFP_HIGHUSER_MOVABLE and its like; that unless given. */
  readonly gfp?: number;
  /** What a fault that finds nothing reads around its page (read_ahead_kb), in pages; that page alone unless given. */
  readonly readAheadPages?: number;
}

/**
 * The page at an index of a file that is read from somewhere, its folio locked, up to date, and referenced at
 * `site`; a negated errno otherwise. `read` is told where it had to be read.
 */
export function* readMappingPage(k: Kernel, mapping: AddressSpace, source: ReadsFolios, index: number, site: string, gfp = source.gfp ?? GFP_ANON_FOLIO): MaySleep<{ readonly page: number; readonly read: boolean } | number> {
  const { m } = k;
  for (;;) {
    const page = yield* k.filemap.filemapLockEntry(k, mapping, index, site);
    if (page >= 0) return { page, read: false };
    const folio = yield* k.memory.allocAnonFolio(k, m.current!.memcg, gfp);
    if (folio === NO_PAGE) return -Errno.ENOMEM;
    m.refs?.put(folio, "alloc");
    m.refs?.get(folio, site);
    k.folioLock.lockNewFolio(k, folio);
    let error = (yield* k.filemap.filemapAddFolio(k, mapping, folio, index, NO_PAGE)) ? 0 : -Errno.EEXIST;
    if (error === 0) {
      yield* k.swap.folioAddLru(k, folio);
      error = yield* source.readFolio(k, folio, index);
      if (error === 0) {
        if (m.point(Op.PageFlags, folio)) yield SWITCH;
        m.memmap.set(folio, PG.uptodate);
        return { page: folio, read: true };
      }
      yield* k.filemap.filemapRemoveFolio(k, folio);
      yield* k.swap.folioPutUnowned(k, folio);
    }
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, site);
    if (error !== -Errno.EEXIST) return error;
    if (m.retries.again("filemap_fault")) yield SWITCH;
  }
}

/**
 * A fault that has found nothing reads what lies around it, too: half of it before the page, half behind; all of it
 * behind where MADV_SEQUENTIAL says so, nothing with MADV_RANDOM. What there is no memory for is left.
 */
export function* doSyncMmapReadahead(k: Kernel, vma: Vma, source: ReadsFolios, index: number): MaySleep<void> {
  const { m } = k;
  const pages = source.readAheadPages ?? 0;
  if (pages === 0 || (vma.flags & VM.RAND_READ) !== 0) return;
  const mapping = vma.mapping!;
  const first = (vma.flags & VM.SEQ_READ) !== 0 ? index : Math.max(0, index - (pages >> 1));
  const end = Math.min(first + pages, Math.ceil(mapping.host.size / 4096));
  const gfp = (source.gfp ?? GFP_ANON_FOLIO) | Gfp.NORETRY | Gfp.NOWARN;
  for (let at = first; at < end; at++) {
    if (m.point(Op.PageCacheRead, mapping.object(at))) yield SWITCH;
    if (at === index || mapping.at(at) !== NO_PAGE) continue;
    const found = yield* k.filemap.readMappingPage(k, mapping, source, at, "fault", gfp);
    if (typeof found === "number") return;
    yield* k.fileFault.releasePage(k, found.page);
  }
}

/** Mappings of files that are read from somewhere, and never written back. */
export function filemapVmOps(source: ReadsFolios): VmOps {
  return {
    mapsAround: true,
    *fault(k, vmf: Vmf): MaySleep<number> {
      const mapping = vmf.vma.mapping!;
      const index = vmf.vma.linearIndex(vmf.vpn);
      if (k.m.point(Op.Inode, mapping.host.ino)) yield SWITCH;
      if (index >= Math.ceil(mapping.host.size / 4096)) return VmFault.SIGBUS;
      if (k.m.point(Op.PageCacheRead, mapping.object(index))) yield SWITCH;
      const missing = mapping.at(index) === NO_PAGE;
      if (missing) yield* k.filemap.doSyncMmapReadahead(k, vmf.vma, source, index);
      const found = yield* k.filemap.readMappingPage(k, mapping, source, index, "fault");
      if (found === -Errno.ENOMEM) return VmFault.OOM;
      if (typeof found === "number") return VmFault.SIGBUS;
      vmf.page = found.page;
      return missing ? VmFault.MAJOR : 0;
    },
  };
}

/** Whether a fault may drop its lock to wait, and be tried again: the first time. */
export function mayDropLock(flags: number): boolean {
  return (flags & (FaultFlag.ALLOW_RETRY | FaultFlag.TRIED | FaultFlag.RETRY_NOWAIT)) === FaultFlag.ALLOW_RETRY;
}
