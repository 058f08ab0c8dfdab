import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { GFP_KERNEL, Gfp } from "../mm/gfp.js";
import { NO_PAGE, PG } from "../mm/page.js";

/**
 * Pages of tmpfs files. One is a RAM frame with a single reference, which the file has; it is
 * charged to the cgroup of the task that made it, and counts as page cache and as shared memory.
 * It stands on no LRU list: reclaim does not write such pages to swap.
 */

/** A zeroed page for a file, charged to the current task's cgroup; or -ENOMEM. */
export function* addShmemPage(k: Kernel): MaySleep<number> {
  const { m } = k;
  const page = yield* k.pageAlloc.allocPage(k, GFP_KERNEL | Gfp.ZERO);
  if (page === NO_PAGE) return -Errno.ENOMEM;
  const { memcg } = m.current!;
  if (!(yield* k.memcg.chargePage(k, page, memcg))) {
    yield* k.swap.folioPut(k, page, "alloc");
    return -Errno.ENOMEM;
  }
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  m.memmap.set(page, PG.uptodate | PG.dirty | PG.swapbacked);
  m.vmstat.pages.filePages++;
  m.vmstat.pages.shmem++;
  const { counters } = m.memcgs.get(m.memmap.memcg[page]!);
  counters.file++;
  counters.shmem++;
  // From here on the file has the reference, not this task.
  m.refs?.put(page, "alloc");
  return page;
}

/** The file gives a page up: it is freed. */
export function* removeShmemPage(k: Kernel, page: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  m.memmap.clear(page, PG.dirty | PG.swapbacked);
  m.vmstat.pages.filePages--;
  m.vmstat.pages.shmem--;
  const { counters } = m.memcgs.get(m.memmap.memcg[page]!);
  counters.file--;
  counters.shmem--;
  yield* k.swap.folioPutUnowned(k, page);
}
