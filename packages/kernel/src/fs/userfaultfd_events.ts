/**
 * @linux mm/userfaultfd.c
 * @own dupComplete, isChanging, losesCtx, mremapPrep, removeEvent, resetCtx, takeEvents, tellEvents, unmapPrep,
 *   wantsRemove
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { VM_UFFD, type Mm, type Vma } from "../mm/mm_types.js";
import { UffdEvent, UffdFeature, UserfaultfdCtx, type PendingEvent } from "./userfaultfd_ctx.js";

/** In which order the events of one call are told. */
export enum EventRank {
  /** What a move makes room for itself is told before it. */
  MadeRoom,
  Remap,
  Unmap,
}

const NONE: readonly PendingEvent[] = [];

/** A context of the parent, and the child's. */
export interface ForkedCtx {
  readonly from: UserfaultfdCtx;
  readonly child: UserfaultfdCtx;
}

/** The VMA is nobody's any more; it is write-locked, or nobody knows it yet. */
export function resetCtx(_k: Kernel, vma: Vma): void {
  vma.uffd = null;
  vma.flags &= ~VM_UFFD;
}

/* fork. */

/** A VMA has been copied to a child: its context is a new one, where the parent's wants to hear of it, else none. */
export function* dupUserfaultfd(k: Kernel, vma: Vma, forked: ForkedCtx[]): MaySleep<void> {
  const { m } = k;
  const from = vma.uffd;
  if (from === null) return;
  if (!from.has(UffdFeature.EVENT_FORK)) return k.uffdEvents.resetCtx(k, vma);
  const known = forked.find((entry) => entry.from === from);
  if (known !== undefined) {
    vma.uffd = known.child;
    return;
  }
  const child = new UserfaultfdCtx(m, vma.mm, from.flags);
  child.features = from.features;
  child.initialized = from.initialized;
  forked.push({ from, child });
  vma.uffd = child;
  yield* k.userfaultfd.beginChange(k, from);
}

/** The child's address space is complete: tells of it, context by context, or where it has failed forgets it. */
export function* dupComplete(k: Kernel, forked: readonly ForkedCtx[], failed: boolean): MaySleep<void> {
  for (const { from, child } of forked) {
    if (!failed) yield* k.userfaultfd.eventWaitCompletion(k, from, { event: UffdEvent.FORK, child });
    else {
      yield* k.userfaultfd.cancelChange(k, from);
      yield* k.userfaultfd.ctxPut(k, child);
    }
  }
}

/* mremap, munmap: told when mmap_lock has been dropped, by who had it for writing. */

/** Whether what moves away from a VMA is nobody's afterwards. */
export function losesCtx(_k: Kernel, vma: Vma): boolean {
  return vma.uffd !== null && !vma.uffd.has(UffdFeature.EVENT_REMAP);
}

/** Pages have moved to a new VMA. Without the feature that is nobody's. */
export function* mremapPrep(k: Kernel, copy: Vma, from: number, to: number, len: number): MaySleep<void> {
  const ctx = copy.uffd;
  if (ctx === null) return;
  if (!ctx.has(UffdFeature.EVENT_REMAP)) return k.uffdEvents.resetCtx(k, copy);
  yield* k.userfaultfd.beginChange(k, ctx);
  copy.mm.uffdEvents.push({ ctx, msg: { event: UffdEvent.REMAP, from, to, len }, rank: EventRank.Remap });
}

/** A VMA goes with all of [start, end), pages: each context hears of a range once. */
export function* unmapPrep(k: Kernel, vma: Vma, start: number, end: number, rank: EventRank): MaySleep<void> {
  const ctx = vma.uffd;
  if (ctx === null || !ctx.has(UffdFeature.EVENT_UNMAP)) return;
  const { uffdEvents } = vma.mm;
  const msg = { event: UffdEvent.UNMAP, start: start * 4096, end: end * 4096 } as const;
  const told = (e: PendingEvent): boolean => e.ctx === ctx && e.msg.event === UffdEvent.UNMAP && e.msg.start === msg.start && e.msg.end === msg.end;
  if (uffdEvents.some(told)) return;
  yield* k.userfaultfd.beginChange(k, ctx);
  uffdEvents.push({ ctx, msg, rank });
}

/** What is to be told of what the caller has done under mmap_lock, which it still has. */
export function takeEvents(_k: Kernel, { uffdEvents }: Mm): readonly PendingEvent[] {
  return uffdEvents.length === 0 ? NONE : uffdEvents.splice(0).sort((a, b) => a.rank - b.rank);
}

/** Tells it, one by one. */
export function* tellEvents(k: Kernel, events: readonly PendingEvent[]): MaySleep<void> {
  for (const { ctx, msg } of events) yield* k.userfaultfd.eventWaitCompletion(k, ctx, msg);
}

/* madvise. */

/** Whether a context wants to hear before pages of a VMA are dropped. */
export function wantsRemove(_k: Kernel, vma: Vma): boolean {
  return vma.uffd?.has(UffdFeature.EVENT_REMOVE) ?? false;
}

/**
 * Tells that [start, end), pages, is about to be dropped, and waits until that has been read. mmap_lock, held for
 * reading on entry and on return, is dropped meanwhile. What the range is in then, or -ENOMEM.
 */
export function* removeEvent(k: Kernel, vma: Vma, start: number, end: number): MaySleep<Vma | number> {
  const { mm } = vma;
  const ctx = vma.uffd!;
  yield* k.userfaultfd.beginChange(k, ctx);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.userfaultfd.eventWaitCompletion(k, ctx, { event: UffdEvent.REMOVE, start: start * 4096, end: end * 4096 });
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  return mm.vmaAt(start) ?? -Errno.ENOMEM;
}

/** Whether an event is on its way: then nothing is filled in, and who asks tries again later. */
export function* isChanging(k: Kernel, ctx: UserfaultfdCtx): Atomic<boolean> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  return ctx.mmapChanging > 0;
}
