/**
 * @linux mm/mmu_gather.c
 * @omits One batch of 510 pages: when it is full all is flushed and freed, where Linux chains up to twenty of them.
 * @omits The level of what was cleared: riscv64 flushes by single pages, or all.
 * @omits `tlb_remove_table_one()`, for when there is no memory for a batch.
 * @own freeTables, tlbFinish, tlbGather, tlbRemoveEntry, tlbRemovePage
 */
import type { Atomic } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Mm } from "./mm_types.js";
import { PG } from "./page.js";

/** Pages that are collected before they are flushed and freed. */
const MAX_GATHER_BATCH = 510;

/**
 * Pages taken out of page tables, on their way to being freed: the TLBs are flushed first, so
 * that no CPU can reach a frame that has a new owner.
 */
export interface MmuGather {
  readonly mm: Mm;
  startVpn: number;
  endVpn: number;
  readonly pages: number[];
  /** Page-table nodes that nothing points to any more. */
  readonly tables: number[];
  /** Markers go, too: the range is unmapped. */
  dropsMarkers: boolean;
}

export function tlbGather(_k: Kernel, mm: Mm): MmuGather {
  return { mm, startVpn: Infinity, endVpn: 0, pages: [], tables: [], dropsMarkers: false };
}

/** Notes that a present entry was cleared. */
export function tlbRemoveEntry(_k: Kernel, tlb: MmuGather, vpn: number): void {
  if (vpn < tlb.startVpn) tlb.startVpn = vpn;
  if (vpn >= tlb.endVpn) tlb.endVpn = vpn + 1;
}

/** Hands over a mapping's reference to a page; true when the gather is full and must be flushed. */
export function tlbRemovePage(k: Kernel, tlb: MmuGather, page: number): boolean {
  k.m.refs?.get(k.m.memmap.folioOf(page), "gather");
  tlb.pages.push(page);
  return tlb.pages.length >= MAX_GATHER_BATCH;
}

/** Flushes what was cleared, and frees nothing yet. */
export function* tlbFlushMmuTlbonly(k: Kernel, tlb: MmuGather): Atomic<void> {
  if (tlb.endVpn > 0) yield* k.tlbflush.flushTlbRange(k, tlb.mm, tlb.startVpn, tlb.endVpn);
  tlb.startVpn = Infinity;
  tlb.endVpn = 0;
}

/** Flushes what was cleared, then drops the references. */
export function* tlbFlushMmu(k: Kernel, tlb: MmuGather): Atomic<void> {
  const { m } = k;
  yield* k.mmGather.tlbFlushMmuTlbonly(k, tlb);
  if (tlb.tables.length > 0) yield* k.mmGather.tlbTableFlush(k, tlb.tables.splice(0));
  for (let i = 0; i < tlb.pages.length; i++) {
    const folio = m.memmap.folioOf(tlb.pages[i]!);
    tlb.pages[i] = folio;
    // Nobody will swap this page in again: its slot is free if the cache is its last user.
    if (m.memmap.has(folio, PG.swapcache)) yield* k.swapfile.freeSwapCache(k, folio);
  }
  if (tlb.pages.length === 0) return;
  yield* k.swap.releaseFolios(k, tlb.pages, "gather");
  tlb.pages.length = 0;
}

/**
 * Page tables that nothing points to are freed after a grace period: a walk without locks
 * (`gupFast`) may still be in one, and on riscv no interrupt of a TLB flush waits for it.
 */
export function* tlbTableFlush(k: Kernel, tables: readonly number[]): Atomic<void> {
  yield* k.rcu.callRcu(k, () => k.mmGather.freeTables(k, tables));
}

/** Gives page tables back to the allocator. */
export function* freeTables(k: Kernel, tables: readonly number[]): Atomic<void> {
  for (const node of tables) yield* k.pageAlloc.freeTable(k, k.m.pt.releaseNode(node));
}

export function* tlbFinish(k: Kernel, tlb: MmuGather): Atomic<void> {
  yield* k.mmGather.tlbFlushMmu(k, tlb);
}
