/**
 * @linux mm/page_io.c
 * @omits The disk is a model: 15 microseconds a request and 0.4 a page, one after the other, no errors.
 * @omits Pages of zeros are written as any others (`swap_zeromap`), and swap files and zswap are not there.
 * @omits Requests are not merged, and belong to no cgroup's I/O.
 * @own endRead, startSwapDisk, submitRead, swapDiskThread
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { Task, TaskState, WaitQueue } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { PG } from "./page.js";

/** What the swap disk needs for a request, and for each page of it: a good SSD. */
const LATENCY_NS = 15_000;
const PAGE_NS = 400;

/** A folio on its way to or from the swap device. */
interface Bio {
  readonly folio: number;
  /** The first slot. */
  readonly offset: number;
  readonly write: boolean;
  readonly done: number;
}

/** The swap disk: its queue, and the interrupt that completes what has been transferred. */
export class SwapDisk {
  readonly queue: Bio[] = [];
  readonly wait: WaitQueue;
  busyUntil = 0;
  /** Runs the interrupt handler. */
  private thread: Task | null = null;
  private head = 0;

  constructor(private readonly k: Kernel) {
    this.wait = new WaitQueue(k.m);
  }

  submit(folio: number, offset: number, write: boolean): void {
    const { m } = this.k;
    // Under the checker the disk takes as long as the schedule says: it is an executor like any other.
    if (m.config.checking) this.busyUntil = m.now();
    else this.busyUntil = Math.max(this.busyUntil, m.now() + LATENCY_NS) + PAGE_NS * m.memmap.folioPages(folio);
    this.queue.push({ folio, offset, write, done: this.busyUntil });
    // While the disk is busy, its timer wakes it.
    if (this.queue.length - this.head === 1) this.wait.wakeAll();
  }

  /** Starts the disk's interrupt handler, on an executor of its own. */
  start(): void {
    const { k } = this;
    const { sched, memcgs } = k.m;
    const executor = sched.addExecutor("swap disk", true, 1);
    this.thread = new Task(sched.allocateTaskId(), "swapdisk", executor, k.pageIo.swapDiskThread(k), { memcg: memcgs.root });
    sched.start(this.thread);
  }

  /** The machine has gone back to where the disk was idle: so is the handler, wherever it had got to. */
  idle(): void {
    this.thread!.body = this.k.pageIo.swapDiskThread(this.k);
  }

  /** Whether the handler waits for requests, and there are none. */
  get isIdle(): boolean {
    return this.next() === null && this.thread!.waitingFor === "idle";
  }

  next(): Bio | null {
    return this.at(0);
  }

  /** The request behind so many others, or null. */
  at(i: number): Bio | null {
    return this.queue[this.head + i] ?? null;
  }

  shift(): void {
    this.head++;
    if (this.head === this.queue.length || this.head > 1024) {
      this.queue.splice(0, this.head);
      this.head = 0;
    }
  }
}

/** Gives the machine its swap disk. */
export function startSwapDisk(k: Kernel): void {
  k.m.swapDisk = new SwapDisk(k);
  k.m.swapDisk.start();
}

export function* swapDiskThread(k: Kernel): MaySleep<void> {
  const { m } = k;
  const disk = m.swapDisk!;
  const self = m.current!;
  for (;;) {
    const bio = disk.next();
    if (bio === null) {
      yield* disk.wait.sleep(TaskState.Uninterruptible, "idle");
      continue;
    }
    if (bio.done > m.now()) {
      m.sched.addTimer(bio.done, false, () => m.sched.wake(self));
      yield* disk.wait.sleep(TaskState.Uninterruptible, "transfer");
      continue;
    }
    disk.shift();
    if (bio.write) yield* k.folioLock.folioEndWriteback(k, bio.folio);
    else yield* k.pageIo.endRead(k, bio.folio, bio.offset);
  }
}

/** Queues the read of a slot into a locked folio. */
export function submitRead(k: Kernel, folio: number, offset: number): void {
  k.m.swapDisk!.submit(folio, offset, false);
}

export function* endRead(k: Kernel, folio: number, offset: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.FrameWrite, folio)) yield SWITCH;
  m.touches(Op.SwapRead, offset);
  m.swap.read(offset, m.ram.words, folio);
  m.vmstat.events.pgpgin += 4;
  m.touches(Op.PageFlags, folio);
  m.memmap.set(folio, PG.uptodate);
  yield* k.folioLock.folioUnlock(k, folio);
}

/** Starts writing a locked folio to its slots: clean and under writeback until it is done. */
export function* swapWritepage(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.clear(folio, PG.dirty);
  m.memmap.set(folio, PG.writeback | PG.reclaim);
  m.vmstat.pages.writeback += pages;
  m.vmstat.events.pswpout += pages;
  m.vmstat.events.pgpgout += 4 * pages;
  if (pages === HPAGE_PMD_NR) m.vmstat.events.thp_swpout++;
  if (pages > 1) m.thp.stats(m.memmap.order[folio]!).swpout++;
  m.memcgs.get(m.memmap.memcg[folio]!).counters.pswpout += pages;
  m.sink?.emit(Event.MmVmscanWriteFolio, folio, m.memmap.isAnon(folio) ? 0 : 1, 0, 0);
  const slot = m.memmap.private[folio]!;
  for (let i = 0; i < pages; i++) {
    m.touches(Op.FrameRead, folio + i);
    m.touches(Op.SwapWrite, slot + i);
    m.swap.write(slot + i, m.ram.words, folio + i);
  }
  m.swapDisk!.submit(folio, slot, true);
}
