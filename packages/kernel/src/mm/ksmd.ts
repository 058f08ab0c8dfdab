/**
 * @linux mm/ksm.c
 * @own changeWithoutTrees, lockTrees, memoryGoingOffline, memoryOffline, prepareKsmd, setRun, wakeKsmd
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { Task, TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { PTRS_PER_TABLE } from "../arch/pgtable.js";
import { KsmRun, RmapItem, type Ksm, type KsmMmSlot } from "./ksm_state.js";
import { VM, type Mm, type Vma } from "./mm_types.js";
import { GetKsm } from "./ksm_tree.js";
import { NO_PAGE } from "./page.js";

const NSEC_PER_MSEC = 1_000_000;

/** At boot. The thread begins to run when there is something to merge for the first time. */
export function prepareKsmd(k: Kernel): void {
  const { m } = k;
  m.ksm.start = () => {
    const executor = m.sched.leastLoadedCpu();
    m.sched.start(new Task(m.sched.allocateTaskId(), "ksmd", executor, k.ksmd.ksmScanThread(k), { memcg: m.memcgs.root }));
  };
}

/** Whether ksmd has anything to do. */
export function ksmdShouldRun({ m: { ksm } }: Kernel): boolean {
  return ksm.run === KsmRun.Merge && ksm.slots.length > 0;
}

/** There may be something to do now; announced by the caller. */
export function wakeKsmd(k: Kernel): void {
  const { ksm } = k.m;
  if (!k.ksmd.ksmdShouldRun(k)) return;
  ksm.start?.();
  ksm.start = null;
  ksm.wait.wakeAll();
}

/** Takes ksm_thread_mutex, not while memory goes offline. */
export function* lockTrees(k: Kernel): MaySleep<void> {
  const { ksm } = k.m;
  for (;;) {
    if (!ksm.mutex.tryLock()) yield* ksm.mutex.lock();
    if (k.m.point(Op.Ksm, 0)) yield SWITCH;
    if (!ksm.offlining) return;
    if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
    if (k.m.point(Op.Ksm, 0)) yield SWITCH;
    while (ksm.offlining) yield* ksm.offlineWait.sleep(TaskState.Uninterruptible, "wait_while_offlining");
  }
}

/** Memory is about to be emptied: nobody looks for pages in it from now on, until `memoryOffline`. Where nothing is mergeable nobody does. */
export function* memoryGoingOffline(k: Kernel): MaySleep<void> {
  const { ksm } = k.m;
  k.m.touches(Op.Ksm, 0);
  if (ksm.slots.length === 0) return;
  if (!ksm.mutex.tryLock()) yield* ksm.mutex.lock();
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  ksm.offlining = true;
  if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
}

/** It is offline, or stays: pages [from, end) that are gone have no nodes. */
export function* memoryOffline(k: Kernel, from: number, end: number): MaySleep<void> {
  const { ksm } = k.m;
  if (!ksm.offlining) return;
  if (!ksm.mutex.tryLock()) yield* ksm.mutex.lock();
  for (const node of [...ksm.nodes.values()]) {
    if (node.page >= from && node.page < end) yield* k.ksmTree.removeNodeFromStableTree(k, node);
  }
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  ksm.offlining = false;
  if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  ksm.offlineWait.wakeAll();
}

export function* ksmScanThread(k: Kernel): MaySleep<void> {
  const { m } = k;
  const { ksm } = m;
  for (;;) {
    yield* k.ksmd.lockTrees(k);
    if (m.point(Op.Ksm, 0)) yield SWITCH;
    if (k.ksmd.ksmdShouldRun(k)) yield* k.ksmd.ksmDoScan(k, ksm.pagesToScan);
    if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
    if (m.point(Op.Ksm, 0)) yield SWITCH;
    if (!k.ksmd.ksmdShouldRun(k)) {
      while (!k.ksmd.ksmdShouldRun(k)) yield* ksm.wait.sleep(TaskState.Interruptible, "ksm_scan_thread");
      continue;
    }
    const { sleepMs } = ksm;
    const until = m.now() + sleepMs * NSEC_PER_MSEC;
    const timer = m.sched.addTimer(until, false, () => ksm.turnWait.wakeAll(), true);
    while (m.now() < until && ksm.sleepMs === sleepMs) yield* ksm.turnWait.sleep(TaskState.Interruptible, "ksm_scan_thread");
    timer.cancel();
  }
}

/** Looks at so many pages, and merges them where it can; less at the end of a scan. ksm_thread_mutex is held. */
export function* ksmDoScan(k: Kernel, pages: number): MaySleep<void> {
  const { m } = k;
  for (let left = pages; left > 0; left--) {
    yield* m.sched.condResched();
    const since = m.now();
    const next = yield* k.ksmd.scanGetNextRmapItem(k);
    if (next === null) return;
    yield* k.ksmMerge.cmpAndMergePage(k, next.page, next.item);
    yield* k.swap.folioPut(k, m.memmap.folioOf(next.page), "ksm");
    m.ksm.pagesScanned++;
    m.ksm.cpuTimeNs += m.now() - since;
  }
}

/** Whether an address space ends: its page tables must not be touched any more. */
export function ksmTestExit(_k: Kernel, mm: Mm): boolean {
  return mm.users === 0 || mm.pgd < 0;
}

/** The VMA of a page that may be merged, or null. */
export function findMergeableVma(k: Kernel, mm: Mm, vpn: number): Vma | null {
  if (k.ksmd.ksmTestExit(k, mm)) return null;
  const vma = mm.vmaAt(vpn);
  return vma === null || (vma.flags & VM.MERGEABLE) === 0 || vma.anonVma === null ? null : vma;
}

/** The anonymous page that a VMA maps at an address, its folio referenced at site "ksm"; NO_PAGE for none, and for memory of a device. */
function* mappedAnon(k: Kernel, vma: Vma, vpn: number): Atomic<number> {
  const { memmap } = k.m;
  const walk = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: false });
  if (walk === null) return NO_PAGE;
  const wanted = memmap.isAnon(walk.folio) && !memmap.isZoneDevice(walk.page);
  if (wanted) yield* k.swap.folioGet(k, walk.folio, "ksm");
  yield* k.folioWalk.folioWalkEnd(k, walk);
  return wanted ? walk.page : NO_PAGE;
}

/** What an item of the unstable tree maps by now, referenced; NO_PAGE where that can be merged no more. */
export function* getMergeablePage(k: Kernel, { mm, vpn }: RmapItem): MaySleep<number> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = k.ksmd.findMergeableVma(k, mm, vpn);
  const page = vma === null ? NO_PAGE : yield* mappedAnon(k, vma, vpn);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return page;
}

/** A page to look at, referenced at site "ksm", and what is known of it. */
interface Scanned {
  readonly page: number;
  readonly item: RmapItem;
}

/** The next page of all that is mergeable; null at the end of a scan, and where there is nothing. */
export function* scanGetNextRmapItem(k: Kernel): MaySleep<Scanned | null> {
  const { m } = k;
  const { ksm } = m;
  if (m.point(Op.Ksm, 0)) yield SWITCH;
  if (ksm.slots.length === 0) return null;
  if (ksm.cursor === null) {
    k.ksmAdvisor.advisorStartScan(k);
    // So that their batches do not hold pages.
    yield* k.swap.lruAddDrainAll(k);
    for (const node of ksm.mergeAcrossNodes ? [] : [...ksm.astray]) {
      const folio = yield* k.ksmTree.ksmGetFolio(k, node, GetKsm.NoLock);
      if (folio !== NO_PAGE) yield* k.swap.folioPut(k, folio, "ksm");
    }
    for (const tree of ksm.unstable) tree.length = 0;
    if (m.point(Op.Ksm, 0)) yield SWITCH;
    const slot = ksm.slots[0];
    if (slot === undefined) return null;
    ksm.cursor = { slot, vpn: 0, item: 0 };
  }
  for (;;) {
    const { cursor } = ksm;
    const { slot } = cursor;
    const { mm } = slot;
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const found = yield* scanMm(k, slot);
    if (found === null) yield* removeTrailingRmapItems(k, slot, k.ksmd.ksmTestExit(k, mm) ? 0 : cursor.item);
    else if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (found !== null) return found;
    if (m.point(Op.Ksm, 0)) yield SWITCH;
    nextSlot(k, slot, k.ksmd.ksmTestExit(k, mm) || cursor.vpn === 0);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (ksm.cursor === null) {
      k.ksmAdvisor.advisorStopScan(k);
      m.touches(Op.Ksm, 0);
      ksm.scan++;
      return null;
    }
  }
}

/** Goes on in an address space: the next page, or null at its end, or where it ends itself. mmap_lock is held. */
function* scanMm(k: Kernel, slot: KsmMmSlot): MaySleep<Scanned | null> {
  const { m } = k;
  const { mm } = slot;
  const cursor = m.ksm.cursor!;
  if (k.ksmd.ksmTestExit(k, mm)) return null;
  for (let i = mm.findVmaIndex(cursor.vpn); i >= 0 && i < mm.vmas.length; i++) {
    const vma = mm.vmas[i]!;
    if ((vma.flags & VM.MERGEABLE) === 0) continue;
    m.touches(Op.Ksm, 0);
    cursor.vpn = vma.anonVma === null ? vma.endVpn : Math.max(cursor.vpn, vma.startVpn);
    while (cursor.vpn < vma.endVpn) {
      if (k.ksmd.ksmTestExit(k, mm)) return null;
      const { vpn } = cursor;
      if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
      if (m.pt.find(mm.pgd, vpn) < 0) {
        m.touches(Op.Ksm, 0);
        cursor.vpn = Math.min(vma.endVpn, (vpn | (PTRS_PER_TABLE - 1)) + 1);
        continue;
      }
      m.touches(Op.Ksm, 0);
      cursor.vpn++;
      const page = yield* mappedAnon(k, vma, vpn);
      if (page !== NO_PAGE) {
        const item = yield* k.ksmd.getNextRmapItem(k, slot, vpn);
        if (!(yield* k.ksmd.shouldSkipRmapItem(k, m.memmap.folioOf(page), item))) return { page, item };
        yield* k.swap.folioPut(k, m.memmap.folioOf(page), "ksm");
      }
      yield* m.sched.condResched();
    }
  }
  return null;
}

/** What is known of a page: known ones before it, which nothing is mapped for any more, are forgotten. */
export function* getNextRmapItem(k: Kernel, slot: KsmMmSlot, vpn: number): MaySleep<RmapItem> {
  const { ksm } = k.m;
  const cursor = ksm.cursor!;
  const { items } = slot;
  while (cursor.item < items.length && items[cursor.item]!.vpn < vpn) yield* forget(k, slot, cursor.item);
  let item = items[cursor.item];
  if (item?.vpn !== vpn) {
    if (k.m.point(Op.Ksm, 0)) yield SWITCH;
    item = new RmapItem(slot.mm, vpn);
    items.splice(cursor.item, 0, item);
    ksm.rmapItems++;
    slot.mm.ksmRmapItems++;
  }
  k.m.touches(Op.Ksm, 0);
  cursor.item++;
  return item;
}

function* forget(k: Kernel, slot: KsmMmSlot, i: number): MaySleep<void> {
  yield* k.ksmTree.removeRmapItemFromTree(k, slot.items[i]!);
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  slot.items.splice(i, 1);
  k.m.ksm.rmapItems--;
  slot.mm.ksmRmapItems--;
}

/** What is known of pages from the i-th on is forgotten: nothing is mapped there any more. */
export function* removeTrailingRmapItems(k: Kernel, slot: KsmMmSlot, i: number): MaySleep<void> {
  while (slot.items.length > i) yield* forget(k, slot, i);
}

/** How often a page is passed over that was looked at so many times in vain. */
function skipAge(age: number): number {
  return age <= 3 ? 1 : age <= 5 ? 2 : age <= 8 ? 4 : 8;
}

/** Whether a page is passed over in this scan (smart_scan): the longer it was looked at in vain, the more often. */
export function* shouldSkipRmapItem(k: Kernel, folio: number, item: RmapItem): MaySleep<boolean> {
  const { ksm, memmap } = k.m;
  if (!ksm.smartScan || memmap.isKsm(folio)) return false;
  const { age } = item;
  k.m.touches(Op.Ksm, 0);
  if (age < 255) item.age++;
  if (age < 3) return false;
  if (item.remainingSkips === 0) {
    item.remainingSkips = skipAge(age);
    return false;
  }
  ksm.pagesSkipped++;
  item.remainingSkips--;
  yield* k.ksmTree.removeRmapItemFromTree(k, item);
  return true;
}

/** An address space is through: the next one's turn. It leaves the list where there is nothing to merge in it; announced by the caller. */
function nextSlot(k: Kernel, slot: KsmMmSlot, leaves: boolean): void {
  const { ksm } = k.m;
  const i = ksm.slots.indexOf(slot);
  const next = ksm.slots[i + 1];
  ksm.cursor = next === undefined ? null : { slot: next, vpn: 0, item: 0 };
  if (!leaves) return;
  ksm.slots.splice(i, 1);
  slot.mm.ksmSlot = null;
  slot.mm.mergeAny = false;
}

/* The operator. */

/** A write to /sys/kernel/mm/ksm/run: 0, or the negated errno with which undoing all that is merged has failed. */
export function* setRun(k: Kernel, run: KsmRun): MaySleep<number> {
  const { ksm } = k.m;
  yield* k.ksmd.lockTrees(k);
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  let error = 0;
  if (ksm.run !== run) {
    ksm.run = run;
    if (run === KsmRun.Unmerge) error = yield* k.ksmd.unmergeAndRemoveAllRmapItems(k);
    if (error !== 0) ksm.run = KsmRun.Stop;
  }
  if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  k.ksmd.wakeKsmd(k);
  return error;
}

/** Sets what the trees rely on: 0, or -EBUSY while there is a page in them. */
export function* changeWithoutTrees<S extends "maxPageSharing" | "mergeAcrossNodes">(k: Kernel, setting: S, value: Ksm[S]): MaySleep<number> {
  const { ksm } = k.m;
  yield* k.ksmd.lockTrees(k);
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  let error = 0;
  if (ksm[setting] !== value) {
    if (ksm.pagesShared > 0 || (yield* k.ksmTree.removeAllStableNodes(k)) !== 0) error = -Errno.EBUSY;
    else ksm[setting] = value;
  }
  if (!ksm.mutex.tryUnlock()) yield* ksm.mutex.unlock();
  return error;
}

/** Every KSM page becomes pages of those who map it, and all that ksmd knows is forgotten. */
export function* unmergeAndRemoveAllRmapItems(k: Kernel): MaySleep<number> {
  const { m } = k;
  const { ksm } = m;
  const first = ksm.slots[0];
  ksm.cursor = first === undefined ? null : { slot: first, vpn: 0, item: 0 };
  while (ksm.cursor !== null) {
    const { slot } = ksm.cursor;
    const { mm } = slot;
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    let error = 0;
    for (let i = 0; error === 0 && !k.ksmd.ksmTestExit(k, mm) && i < mm.vmas.length; i++) {
      const vma = mm.vmas[i]!;
      if ((vma.flags & VM.MERGEABLE) !== 0 && vma.anonVma !== null) error = yield* k.ksm.breakKsm(k, vma, vma.startVpn, vma.endVpn);
    }
    if (error === 0) yield* removeTrailingRmapItems(k, slot, 0);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (m.point(Op.Ksm, 0)) yield SWITCH;
    if (error !== 0) {
      ksm.cursor = null;
      return error;
    }
    nextSlot(k, slot, k.ksmd.ksmTestExit(k, mm));
  }
  yield* k.ksmTree.removeAllStableNodes(k);
  ksm.scan = 0;
  return 0;
}
