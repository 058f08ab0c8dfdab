/**
 * @linux kernel/sched/fair.c
 * @omits Groups of tasks, and pages that are shared by them (`task_numa_group()`).
 * @omits Tasks are not moved to where their memory is: only memory moves.
 * @omits The period between two scans stays what it is at first, whatever faults tell.
 * @own scanPeriodMs, scans, setAccessPid
 */
import type { Kernel } from "../kernel.js";
import { VM, VM_ACCESS, type Mm, type Vma } from "../mm/mm_types.js";
import { NUMA_NO_NODE } from "../mm/nodes.js";
import type { HintFault } from "../mm/numa_fault.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import type { Task } from "./sched.js";

/*
 * Which memory a task is to be asked about, and when: a piece of its address space after another, as it uses up CPU time. Tasks stay
 * where they are, so that a page follows the task; the period between two scans stays what it is at first.
 */

const NS_PER_MS = 1_000_000;
const PAGES_PER_MB = 256;
/** So much of a piece may have nothing mapped. */
const VIRTUAL_PAGES_FACTOR = 8;
/** Who has used a VMA is forgotten after so many scan delays. */
const PID_RESET_DELAYS = 4;
/** Scans of a VMA that everybody may make. */
const FREE_SCANS = 2;
/** Bits of a mask of task ids. */
const PID_BUCKETS = 32;

/** What balancing knows of a task. */
export interface TaskNuma {
  /** CPU time, in nanoseconds, from which on another scan is due after a period. */
  nodeStamp: number;
  /** The scans of the address space up to the last placement. */
  scanSeq: number;
  /** Where most of its faults were: NUMA_NO_NODE until it is known. */
  preferredNode: number;
  /** Faults by node, each scan's counting half as much as the next one's; and those since the last placement. */
  readonly faults: number[];
  readonly recent: number[];
  pagesMigrated: number;
  migrationsFailed: number;
}

/** What balancing knows of a VMA (vma_numab_state). Times in nanoseconds of machine time. */
export interface VmaNuma {
  readonly startScanSeq: number;
  readonly nextScan: number;
  prevScanSeq: number;
  pidsActiveReset: number;
  /** Who has used it: in the interval before, and in this one. */
  readonly pidsActive: [number, number];
}

function pidBit(task: Task): number {
  return 1 << (Math.imul(task.id, 0x61c88647) >>> 27) % PID_BUCKETS;
}

/** Called as a task goes back to user mode: a scan where one is due. `cpuNs`: how long it has run. */
export function* taskTickNuma(k: Kernel, cpuNs: number): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const { mm } = task;
  if (mm === null || task.exiting) return;
  task.numa ??= { nodeStamp: 0, scanSeq: mm.numaScanSeq, preferredNode: NUMA_NO_NODE, faults: [], recent: [], pagesMigrated: 0, migrationsFailed: 0 };
  const period = k.numaBalancing.scanPeriodMs(k, mm) * NS_PER_MS;
  if (cpuNs <= task.numa.nodeStamp + period) return;
  task.numa.nodeStamp += period;
  if (mm.numaNextScan === 0) mm.numaNextScan = m.now() + m.numa.scanDelayMs * NS_PER_MS;
  if (m.now() >= mm.numaNextScan) yield* k.numaBalancing.taskNumaWork(k, mm, m.now() + period);
}

/** Milliseconds between two scans of an address space: the more is resident, the shorter (task_scan_min()). */
export function scanPeriodMs(k: Kernel, mm: Mm): number {
  const { scanSizeMb, scanPeriodMinMs } = k.m.numa;
  const windows = Math.max(1, Math.ceil(mm.rssPages() / (scanSizeMb * PAGES_PER_MB)));
  // A task scans 2.5 GB in a second at most.
  const floor = Math.floor(1000 / Math.max(1, Math.floor(2560 / scanSizeMb)));
  return Math.max(floor, Math.floor(scanPeriodMinMs / windows));
}

/** Protects the next piece of an address space. Who finds mmap_lock taken leaves it to the next time. */
export function* taskNumaWork(k: Kernel, mm: Mm, nextScan: number): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  mm.numaNextScan = nextScan;
  let pages = m.numa.scanSizeMb * PAGES_PER_MB;
  let virtual = pages * VIRTUAL_PAGES_FACTOR;
  if (pages === 0 || !mm.mmapLock.tryRead()) return;
  let start = mm.numaScanOffset;
  if (mm.findVmaIndex(start) < 0) {
    resetScan(mm);
    start = 0;
  }
  let skipped = false;
  let forced = false;
  let stopped = false;
  for (let i = mm.findVmaIndex(start); !stopped; i++) {
    const vma = i < 0 ? undefined : mm.vmas[i];
    if (vma === undefined) {
      if (forced || !skipped) break;
      // Nobody but others uses what is left: somebody has to look at it.
      forced = true;
      i = -1;
      continue;
    }
    if (!k.numaBalancing.scans(k, vma)) continue;
    const numa = (vma.numa ??= newVmaNuma(k, mm));
    if (mm.numaScanSeq > 0 && m.now() < numa.nextScan) continue;
    forgetPids(k, mm, numa);
    if (numa.prevScanSeq === mm.numaScanSeq) {
      mm.numaScanOffset = vma.endVpn;
      continue;
    }
    if (!forced && !k.numaBalancing.vmaIsAccessed(k, mm, vma, numa)) {
      skipped = true;
      continue;
    }
    let end = start;
    do {
      start = Math.max(start, vma.startVpn);
      end = Math.min(vma.endVpn, Math.ceil((start + pages) / 512) * 512);
      const updates = yield* k.protNuma.changeProtNuma(k, vma, start, end);
      if (updates > 0) pages -= end - start;
      virtual -= end - start;
      start = end;
      stopped = pages <= 0 || virtual <= 0;
    } while (!stopped && end !== vma.endVpn);
    if (stopped) break;
    numa.prevScanSeq = mm.numaScanSeq;
    if (forced) stopped = true;
  }
  if (stopped) mm.numaScanOffset = start;
  else resetScan(mm);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

function resetScan(mm: Mm): void {
  mm.numaScanSeq++;
  mm.numaScanOffset = 0;
}

function newVmaNuma(k: Kernel, mm: Mm): VmaNuma {
  const delay = k.m.numa.scanDelayMs * NS_PER_MS;
  const nextScan = k.m.now() + delay;
  return { startScanSeq: mm.numaScanSeq, nextScan, prevScanSeq: mm.numaScanSeq - 1, pidsActiveReset: nextScan + PID_RESET_DELAYS * delay, pidsActive: [0, 0] };
}

function forgetPids(k: Kernel, mm: Mm, numa: VmaNuma): void {
  if (mm.numaScanSeq === 0 || k.m.now() <= numa.pidsActiveReset) return;
  numa.pidsActiveReset += PID_RESET_DELAYS * k.m.numa.scanDelayMs * NS_PER_MS;
  numa.pidsActive[0] = numa.pidsActive[1];
  numa.pidsActive[1] = 0;
}

/**
 * Whether a VMA's memory is asked about at all: not what cannot move, what its policy holds in place, huge pages of hugetlb, what
 * can only be read of a file (each node may have its own use of a library), and what nobody may access.
 */
export function scans(k: Kernel, vma: Vma): boolean {
  if (!k.mbind.vmaMigratable(k, vma) || vma.isHugetlb || vma.ops?.isMixedMap === true) return false;
  if (!k.mempolicy.vmaPolicyMof(k, vma)) return false;
  if (vma.file !== null && (vma.flags & (VM.READ | VM.WRITE)) === (VM.READ as number)) return false;
  return (vma.flags & VM_ACCESS) !== 0;
}

/** Whether the current task has used a VMA lately, as far as hinting faults tell, or should look at it all the same. */
export function vmaIsAccessed(k: Kernel, mm: Mm, vma: Vma, numa: VmaNuma): boolean {
  if (mm.numaScanSeq - numa.startScanSeq < FREE_SCANS) return true;
  const task = k.m.current!;
  if (((numa.pidsActive[0] | numa.pidsActive[1]) & pidBit(task)) !== 0) return true;
  if (mm.numaScanOffset > vma.startVpn) return true;
  return mm.numaScanSeq > numa.prevScanSeq + (task.process?.threads.size ?? 1);
}

/** The current task has met a hinting fault in a VMA. */
export function setAccessPid(k: Kernel, vma: Vma): void {
  if (vma.numa !== null) vma.numa.pidsActive[1] |= pidBit(k.m.current!);
}

/** A hinting fault is over: where a task's memory is decides which node is its own. */
export function* taskNumaFault(k: Kernel, hint: HintFault): Atomic<void> {
  const { m } = k;
  const task = m.current!;
  const { numa, mm } = task;
  if (!m.numa.enabled || numa === null || mm === null) return;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  numa.recent[hint.node] = (numa.recent[hint.node] ?? 0) + hint.pages;
  if (hint.migrated) numa.pagesMigrated += hint.pages;
  if (hint.failed) numa.migrationsFailed += hint.pages;
  if (numa.scanSeq === mm.numaScanSeq) return;
  numa.scanSeq = mm.numaScanSeq;
  let most = 0;
  for (let node = 0; node < m.nodes.count; node++) {
    const faults = ((numa.faults[node] ?? 0) >> 1) + (numa.recent[node] ?? 0);
    numa.faults[node] = faults;
    numa.recent[node] = 0;
    if (faults <= most) continue;
    most = faults;
    numa.preferredNode = node;
  }
}
