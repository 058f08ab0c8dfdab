/**
 * @linux mm/rmap.c, arch/riscv/mm/tlbflush.c
 * @own isFlushPending, ptepClearDeferred
 */
import type { Kernel } from "../kernel.js";
import { ptePresent, PTE } from "../arch/pgtable.js";
import type { Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Mm, Vma } from "./mm_types.js";

/**
 * Reclaim clears many entries and flushes the TLBs once for all of them: before anything is written
 * out that could be written to meanwhile, and before a frame is freed. Who changes an address space
 * in between must not rely on a swap entry being in no TLB (mm/rmap.c, TTU_BATCH_FLUSH).
 */

/** Under the page-table lock: clears an entry, and leaves its flush to `tryToUnmapFlush`. [flags, pfn] as it was. */
export function* ptepClearDeferred(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
  const entry = yield* k.memory.ptepGetAndClear(k, vpn, ptep);
  if (ptePresent(entry[0])) {
    k.tlbBatch.setTlbUbcFlushPending(k, vma.mm, entry[0]);
    yield* k.tlbflush.archTlbbatchAddPending(k, vma.mm, vpn);
  }
  return entry;
}

/** This task owes a flush for an entry that it has just cleared; the address space knows of it. */
export function setTlbUbcFlushPending(k: Kernel, mm: Mm, flags: number): void {
  const { m } = k;
  const { tlbUbc } = m.current!;
  tlbUbc.cpumask |= mm.cpumask;
  tlbUbc.flushRequired = true;
  // A dirty entry may be in a TLB with leave to write.
  if ((flags & PTE.D) !== 0) tlbUbc.writable = true;
  m.touches(Op.TlbBatchSet, mm.id);
  mm.tlbBatchPending++;
}

/** Flushes all that this task has put off. */
export function* tryToUnmapFlush(k: Kernel): Atomic<void> {
  const { tlbUbc } = k.m.current!;
  if (!tlbUbc.flushRequired) return;
  yield* k.tlbflush.archTlbbatchFlush(k, tlbUbc.cpumask);
  tlbUbc.cpumask = 0;
  tlbUbc.flushRequired = false;
  tlbUbc.writable = false;
}

/** Before I/O: flushes if somebody might still write through what was cleared. */
export function* tryToUnmapFlushDirty(k: Kernel): Atomic<void> {
  if (k.m.current!.tlbUbc.writable) yield* k.tlbBatch.tryToUnmapFlush(k);
}

/** Under a page-table lock: whether reclaim has cleared entries of the address space that may not be flushed yet. */
export function isFlushPending(k: Kernel, mm: Mm): boolean {
  k.m.touches(Op.TlbBatchRead, mm.id);
  return mm.tlbBatchPending !== mm.tlbBatchFlushed;
}

/** Under a page-table lock: does what reclaim still owes the address space. Callers ask `isFlushPending` first. */
export function* flushTlbBatchedPending(k: Kernel, mm: Mm): Atomic<void> {
  const pending = mm.tlbBatchPending;
  const flushed = mm.tlbBatchFlushed;
  yield* k.tlbflush.flushTlbMm(k, mm);
  k.m.touches(Op.TlbBatchSet, mm.id);
  // What came meanwhile is not among what was flushed.
  if (mm.tlbBatchPending === pending && mm.tlbBatchFlushed === flushed) mm.tlbBatchFlushed = pending;
}
