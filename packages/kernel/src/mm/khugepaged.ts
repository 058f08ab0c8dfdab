/**
 * @linux mm/khugepaged.c
 * @omits Choosing a node by where most pages lie, and the increase of min_free_kbytes while it runs.
 * @own doScan, enter, passesOverEmpty, prepareKhugepaged, scanMmSlot, settingsChanged, waitWork, wake
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { Task, TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR } from "../arch/pgtable.js";
import { Scan, type CollapseControl } from "./collapse_census.js";
import type { Mm, Vma } from "./mm_types.js";

const NSEC_PER_MSEC = 1_000_000;

/** Whether khugepaged may make larger folios in a VMA. */
function mayScan(k: Kernel, vma: Vma): boolean {
  return k.collapseMthp.possibleOrders(k, vma, { isKhugepaged: true }).length > 0;
}

/** Whether khugepaged leaves pages alone that nobody has written since MADV_FREE. */
export function skipsLazyfree(_k: Kernel): boolean {
  return true;
}

/* MADV_COLLAPSE. */

/** Whether 2 MiB for which there is no table are passed over, rather than the end of it. */
export function passesOverEmpty(_k: Kernel, _mm: Mm, _vpn: number): boolean {
  return true;
}

/** What came of one range, where the others are still worth trying. */
const GO_ON: ReadonlySet<Scan> = new Set([
  Scan.NoPteTable,
  Scan.PteNonPresent,
  Scan.PteUffdWp,
  Scan.LackReferencedPage,
  Scan.PageNull,
  Scan.PageCount,
  Scan.PageLock,
  Scan.PageLru,
  Scan.DelPageLru,
]);

/** Why MADV_COLLAPSE has failed: what can be tried again at once is EAGAIN. */
export function madviseCollapseErrno(_k: Kernel, result: Scan): number {
  switch (result) {
    case Scan.AllocHugePageFail:
      return -Errno.ENOMEM;
    case Scan.CgroupChargeFail:
    case Scan.ExceedNonePte:
      return -Errno.EBUSY;
    case Scan.PageCount:
    case Scan.PageLock:
    case Scan.PageLru:
    case Scan.DelPageLru:
    case Scan.PageFilled:
      return -Errno.EAGAIN;
    case Scan.Fail:
    case Scan.Succeed:
    case Scan.NoPteTable:
    case Scan.PmdMapped:
    case Scan.ExceedSwapPte:
    case Scan.ExceedSharedPte:
    case Scan.PteNonPresent:
    case Scan.PteUffdWp:
    case Scan.PageNull:
    case Scan.PageAnon:
    case Scan.LackReferencedPage:
    case Scan.AnyProcess:
    case Scan.VmaNull:
    case Scan.VmaCheck:
    case Scan.AddressRange:
    case Scan.PteMappedHugepage:
    case Scan.Truncated:
    case Scan.PageLazyfree:
      return -Errno.EINVAL;
  }
}

/**
 * MADV_COLLAPSE on a part of one VMA: each 2 MiB that lie wholly in it become one folio, mapped as
 * one. mmap_lock is held for reading, and may have been dropped meanwhile. 0 when all of them are;
 * else the errno for the last that is not.
 */
export function* madviseCollapse(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  if (k.collapseMthp.possibleOrders(k, vma, { isKhugepaged: false }).length === 0) return -Errno.EINVAL;
  const cc: CollapseControl = { isKhugepaged: false, memcg: m.current!.memcg, mmapLocked: true };
  yield* k.swap.lruAddDrainAll(k);
  const first = Math.ceil(start / HPAGE_PMD_NR) * HPAGE_PMD_NR;
  let last = Math.floor(end / HPAGE_PMD_NR) * HPAGE_PMD_NR;
  let collapsed = 0;
  let failure = Scan.Fail;
  for (let vpn = first; vpn < last; vpn += HPAGE_PMD_NR) {
    if (!cc.mmapLocked) {
      yield* m.sched.condResched();
      if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
      cc.mmapLocked = true;
      const now = k.collapse.revalidateVma(k, mm, vpn, cc);
      if (typeof now === "number") {
        failure = now;
        break;
      }
      last = Math.min(last, Math.floor(now.endVpn / HPAGE_PMD_NR) * HPAGE_PMD_NR);
    }
    let result = yield* scanAt(k, mm, vpn, cc);
    if (result === Scan.PteMappedHugepage) result = yield* k.collapseFile.collapsePteMapped(k, mm, vpn, true);
    if (result === Scan.Succeed || result === Scan.PmdMapped) collapsed++;
    else {
      failure = result;
      if (!GO_ON.has(result) || (result === Scan.NoPteTable && !k.khugepaged.passesOverEmpty(k, mm, vpn))) break;
    }
  }
  if (!cc.mmapLocked && !mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  return collapsed * HPAGE_PMD_NR === last - first ? 0 : k.khugepaged.madviseCollapseErrno(k, failure);
}

/** Looks at 2 MiB of whichever kind, and collapses them; mmap_lock is held for reading, and may be dropped. */
function* scanAt(k: Kernel, mm: Mm, vpn: number, cc: CollapseControl): MaySleep<Scan> {
  const vma = mm.vmaAt(vpn)!;
  if (vma.ops !== null) return yield* k.collapseFile.collapseScanFile(k, vma, vpn, cc);
  return yield* k.collapse.collapseScanPmd(k, vma, vpn, cc);
}

/* Who is looked through. */

/** Whether there is anybody to look through, and it may. */
function hasWork(k: Kernel): boolean {
  return k.m.thp.khugepaged.mms.length > 0 && anyEnabled(k);
}

/** Whether anybody may have folios of a size that khugepaged makes. */
function anyEnabled(k: Kernel): boolean {
  return k.collapseMthp.khugepagedOrders(k).some((order) => k.m.thp.orderEnabled(order, true));
}

/** khugepaged looks through an address space from now on, if a VMA of it may be collapsed; mmap_lock or the VMA's is held. */
export function* khugepagedEnterVma(k: Kernel, vma: Vma): Atomic<void> {
  const { mm } = vma;
  if (k.m.point(Op.Thp, 0)) yield SWITCH;
  if (mm.khugepaged || !anyEnabled(k)) return;
  if (mayScan(k, vma)) k.khugepaged.enter(k, mm);
}

/** Announced by the caller. */
export function enter(k: Kernel, mm: Mm): void {
  const { khugepaged } = k.m.thp;
  mm.khugepaged = true;
  khugepaged.mms.push(mm);
  khugepaged.start?.();
  khugepaged.start = null;
  if (khugepaged.mms.length === 1) khugepaged.wait.wakeAll();
}

/** A child is looked through where its parent is. */
export function* khugepagedFork(k: Kernel, mm: Mm, parent: Mm): Atomic<void> {
  if (k.m.point(Op.Thp, 0)) yield SWITCH;
  if (parent.khugepaged) k.khugepaged.enter(k, mm);
}

/** An address space ends. Where khugepaged is in it just now, it notices that by itself. */
export function* khugepagedExit(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.Thp, 0)) yield SWITCH;
  const { khugepaged } = k.m.thp;
  if (mm.khugepaged && khugepaged.cursor?.mm !== mm) khugepaged.mms.splice(khugepaged.mms.indexOf(mm), 1);
}

/* The thread. */

/** At boot. The thread begins to run with the first address space that it is to look through. */
export function prepareKhugepaged(k: Kernel): void {
  const { m } = k;
  m.thp.khugepaged.start = () => {
    const executor = m.sched.leastLoadedCpu();
    m.sched.start(new Task(m.sched.allocateTaskId(), "khugepaged", executor, k.khugepaged.khugepaged(k), { memcg: m.memcgs.root }));
  };
}

export function* khugepaged(k: Kernel): MaySleep<void> {
  for (;;) {
    yield* k.khugepaged.doScan(k);
    yield* k.khugepaged.waitWork(k);
  }
}

/** Looks at as many pages as one turn has, in as many address spaces as that takes, each at most twice. */
export function* doScan(k: Kernel): MaySleep<void> {
  const { m } = k;
  const { khugepaged } = m.thp;
  const pages = khugepaged.pagesToScan;
  let rounds = 0;
  let slept = false;
  yield* k.swap.lruAddDrainAll(k);
  for (let progress = 0; progress < pages; ) {
    yield* m.sched.condResched();
    if (m.point(Op.Thp, 0)) yield SWITCH;
    if (khugepaged.cursor === null) rounds++;
    if (!hasWork(k) || rounds === 2) return;
    const scanned = yield* k.khugepaged.scanMmSlot(k, pages - progress);
    progress += scanned.pages;
    if (scanned.result !== Scan.AllocHugePageFail) continue;
    // There may be one in a while; not twice in a turn.
    if (slept) return;
    slept = true;
    yield* sleep(k, khugepaged.allocSleepMs, false);
  }
}

/** Sleeps until there is something to look at, and at least as long as sysfs says. */
export function* waitWork(k: Kernel): MaySleep<void> {
  const { m } = k;
  const { khugepaged } = m.thp;
  if (m.point(Op.Thp, 0)) yield SWITCH;
  if (hasWork(k)) {
    if (khugepaged.scanSleepMs > 0) yield* sleep(k, khugepaged.scanSleepMs, true);
    return;
  }
  while (!hasWork(k)) yield* khugepaged.wait.sleep(TaskState.Interruptible, "khugepaged");
}

/** `whole`: until the time is over, or its end is set anew; else whatever wakes it ends it. */
function* sleep(k: Kernel, ms: number, whole: boolean): MaySleep<void> {
  const { m } = k;
  const { khugepaged } = m.thp;
  khugepaged.sleepUntil = m.now() + ms * NSEC_PER_MSEC;
  const timer = m.sched.addTimer(khugepaged.sleepUntil, false, () => khugepaged.wait.wakeAll(), true);
  do yield* khugepaged.wait.sleep(TaskState.Interruptible, "khugepaged");
  while (whole && m.now() < khugepaged.sleepUntil);
  timer.cancel();
}

/** How long it is to sleep has been written: it looks around at once. */
export function wake(k: Kernel): void {
  const { khugepaged } = k.m.thp;
  khugepaged.sleepUntil = 0;
  khugepaged.wait.wakeAll();
}

/** What one call of `scanMmSlot` did. */
export interface Scanned {
  /** Pages looked at; what was skipped counts, too, so that a turn ends. */
  readonly pages: number;
  readonly result: Scan;
}

/** Goes on where it left off, in one address space; when that is through, with the next. */
export function* scanMmSlot(k: Kernel, pages: number): MaySleep<Scanned> {
  const { m } = k;
  const { khugepaged } = m.thp;
  const cursor = (khugepaged.cursor ??= { mm: khugepaged.mms[0]!, vpn: 0 });
  const { mm } = cursor;
  const cc: CollapseControl = { isKhugepaged: true, memcg: k.m.memcgs.ofMm(mm), mmapLocked: true };
  let progress = 1;
  let result = Scan.Fail;
  let through = false;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  while (!k.collapse.collapseTestExit(k, mm)) {
    const vma = vmaFrom(mm, cursor.vpn);
    if (vma === null) {
      through = true;
      break;
    }
    const start = Math.max(cursor.vpn, Math.ceil(vma.startVpn / HPAGE_PMD_NR) * HPAGE_PMD_NR);
    if (start + HPAGE_PMD_NR > vma.endVpn || !mayScan(k, vma)) {
      progress++;
      cursor.vpn = vma.endVpn;
      continue;
    }
    if (progress >= pages) break;
    result = yield* scanAt(k, mm, start, cc);
    if (result === Scan.PteMappedHugepage) {
      const mapped = yield* k.collapseFile.collapsePteMapped(k, mm, start, false);
      result = mapped === Scan.PmdMapped ? Scan.Succeed : mapped;
    }
    if (result === Scan.Succeed) khugepaged.pagesCollapsed++;
    cursor.vpn = start + HPAGE_PMD_NR;
    progress += HPAGE_PMD_NR;
    if (!cc.mmapLocked) break;
    yield* m.sched.condResched();
  }
  if (cc.mmapLocked && !mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (m.point(Op.Thp, 0)) yield SWITCH;
  if (through || k.collapse.collapseTestExit(k, mm)) nextSlot(k, mm);
  return { pages: progress, result };
}

/** The first VMA that ends above a page. */
function vmaFrom(mm: Mm, vpn: number): Vma | null {
  const i = mm.findVmaIndex(vpn);
  return i < 0 ? null : mm.vmas[i]!;
}

/** An address space is through: the next one's turn; behind the last, a round is over. */
function nextSlot(k: Kernel, mm: Mm): void {
  const { khugepaged } = k.m.thp;
  const i = khugepaged.mms.indexOf(mm);
  const next = khugepaged.mms[i + 1];
  khugepaged.cursor = next === undefined ? null : { mm: next, vpn: 0 };
  if (next === undefined) khugepaged.fullScans++;
  if (mm.pgd < 0 || mm.users === 0) khugepaged.mms.splice(i, 1);
}

/** Settings that need a look at whether khugepaged is wanted have changed. */
export function settingsChanged(k: Kernel): void {
  if (hasWork(k)) k.m.thp.khugepaged.wait.wakeAll();
}
