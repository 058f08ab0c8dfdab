/**
 * @linux mm/huge_memory.c
 * @omits `split_huge_pages_all()` goes over LRU lists, not over all page frames.
 * @own splitAll, splitInFile, splitInProcess
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { SplitRange } from "../fs/debugfs.js";
import { O } from "../fs/vfs.js";
import { VM_SPECIAL, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";

/* What writes to /sys/kernel/debug/split_huge_pages do: tests of splitting. Where a folio cannot be split, nobody is told. */

/** Splits the large folios that a process maps in a range of bytes: -ESRCH without such a process, -EINVAL without memory of its own. */
export function* splitInProcess(k: Kernel, pid: number, { start, end, order, offset }: SplitRange): MaySleep<number> {
  const { m } = k;
  const task = m.tasks.get(pid);
  if (task === undefined) return -Errno.ESRCH;
  const { mm } = task;
  if (mm === null || !(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EINVAL;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  for (let vpn = Math.floor(start / 4096); vpn < Math.floor(end / 4096); vpn++) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) break;
    if ((vma.flags & VM_SPECIAL) !== 0) {
      // As Linux has it: the step of the loop skips the page behind the VMA, too.
      vpn = vma.endVpn;
      continue;
    }
    const folio = yield* getFolioAt(k, vma, vpn, order);
    if (folio !== NO_PAGE) yield* splitLocked(k, folio, order, offset);
    yield* m.sched.condResched();
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return 0;
}

/** The folio that is mapped at an address, referenced and locked, if it is larger than `order` and nobody else holds it; NO_PAGE else. */
function* getFolioAt(k: Kernel, vma: Vma, vpn: number, order: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const walk = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: false });
  if (walk === null) return NO_PAGE;
  let { folio } = walk;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  const splits = memmap.order[folio]! > order && memmap.refcount[folio] === k.rmap.expectedRefs(k, folio) - 1;
  if (splits && (yield* k.folioLock.folioTrylock(k, folio))) yield* k.swap.folioGet(k, folio, "split_debug");
  else folio = NO_PAGE;
  yield* k.folioWalk.folioWalkEnd(k, walk);
  return folio;
}

/** Splits a locked folio with a reference of the caller's, and lets go of both. */
function* splitLocked(k: Kernel, folio: number, order: number, offset: number): MaySleep<void> {
  const at = offset < 0 || offset >= k.m.memmap.folioPages(folio) ? NO_PAGE : folio + offset;
  if (order >= 0) yield* k.hugeSplit.splitFolio(k, folio, null, order, at);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "split_debug");
}

/** Splits the large folios that the page cache has of a file in a range of indexes: 0, or what opening the file answers. */
export function* splitInFile(k: Kernel, path: string, { start, end, order, offset }: SplitRange): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const file = yield* m.vfs.open(k, path, O.RDONLY, 0);
  if (typeof file === "number") return file;
  const mapping = file.inode.mapping;
  for (let index = start; mapping !== undefined && index < end; index++) {
    const page = yield* k.filemap.filemapGetEntry(k, mapping, index, "split_debug");
    if (page < 0) continue;
    const folio = memmap.folioOf(page);
    // From where it was found on, as Linux counts.
    index += memmap.folioPages(folio) - 1;
    if (memmap.order[folio]! > order && (yield* k.folioLock.folioTrylock(k, folio))) {
      if (k.filemap.folioMapping(k, folio) === mapping) yield* splitLocked(k, folio, order, offset);
      else {
        yield* k.folioLock.folioUnlock(k, folio);
        yield* k.swap.folioPut(k, folio, "split_debug");
      }
    } else yield* k.swap.folioPut(k, folio, "split_debug");
    yield* m.sched.condResched();
  }
  yield* m.vfs.put(k, file);
  return 0;
}

/** Splits every large folio that is on an LRU list. */
export function* splitAll(k: Kernel): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  for (let page = 0; page < memmap.nrPages; page++) {
    if (memmap.order[page] === 0 || memmap.refcount[page] === 0) continue;
    if (!(yield* k.swap.folioTryGet(k, page, "split_debug"))) continue;
    if (memmap.isLarge(page) && memmap.has(page, PG.lru) && (yield* k.folioLock.folioTrylock(k, page))) yield* splitLocked(k, page, 0, -1);
    else yield* k.swap.folioPut(k, page, "split_debug");
    yield* m.sched.condResched();
  }
}
