/**
 * @linux arch/riscv/mm/tlbflush.c
 * @omits ASIDs: a CPU that switches to another address space has nothing cached of it.
 * @omits Thresholds (`tlb_flush_all_threshold`): a range is flushed as a range, however long.
 * @omits Interrupts: the fence of another CPU is a request and its completion, as the firmware does it (SBI).
 * @own localFlushPage, prefetchTable
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Mm } from "../mm/mm_types.js";
import { PTE, PTRS_PER_TABLE, USER_VPN_END } from "./pgtable.js";
import { Event, TlbFlushReason } from "../trace.js";

/**
 * Flushes [startVpn, endVpn) from every CPU that has the address space. Each remote CPU is two
 * points: the fence request is sent, and its completion. Between the two it may still use what
 * it has cached. On riscv the fence runs in firmware, which no masked interrupt delays.
 */
export function* flushTlbRange(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<void> {
  yield* flushCpus(k, mm.cpumask, startVpn, endVpn);
  if (k.mmuNotifier.mmHasSecondaryTlbs(k, mm)) yield* k.tlbflush.flushSecondaryTlbs(k, mm, startVpn, endVpn);
}

/**
 * Behind every flush of an address space: TLBs that are not the CPUs' but share their page table. On Linux, who has run on no
 * CPU yet has none of those flushed either.
 */
export function* flushSecondaryTlbs(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<void> {
  yield* k.mmuNotifier.archInvalidateSecondaryTlbs(k, mm, startVpn, endVpn);
}

/** Flushes an address space from every CPU that has it. */
export function* flushTlbMm(k: Kernel, mm: Mm): Atomic<void> {
  yield* k.tlbflush.flushTlbRange(k, mm, 0, USER_VPN_END);
}

/** A page's entry has been cleared, and its flush on the CPUs is put off: that on devices is not. */
export function* archTlbbatchAddPending(k: Kernel, mm: Mm, vpn: number): Atomic<void> {
  if (k.mmuNotifier.mmHasSecondaryTlbs(k, mm)) yield* k.tlbflush.flushSecondaryTlbs(k, mm, vpn, vpn + 1);
}

/** Flushes all that the CPUs have cached, for entries of several address spaces. */
export function* archTlbbatchFlush(k: Kernel, cpumask: number): Atomic<void> {
  yield* flushCpus(k, cpumask, 0, USER_VPN_END);
}

/** Who joins the address space after this began has nothing cached. */
function* flushCpus(k: Kernel, cpumask: number, startVpn: number, endVpn: number): Atomic<void> {
  const { m } = k;
  const self = m.executor!;
  for (const cpu of m.sched.executors) {
    if (cpu.isDevice || (cpumask & (1 << cpu.id)) === 0) continue;
    if (m.point(Op.TlbFlush, cpu.id)) yield SWITCH;
    if (cpu !== self && m.point(Op.TlbFlush, cpu.id)) yield SWITCH;
    cpu.tlb.flushRange(startVpn, endVpn);
    const reason = cpu === self ? TlbFlushReason.LOCAL_MM_SHOOTDOWN : TlbFlushReason.REMOTE_SHOOTDOWN;
    m.sink?.emit(Event.TlbFlush, endVpn - startVpn, reason, cpu.id, 0);
  }
}

/** Flushes one page from this CPU's TLB alone. */
export function localFlushPage(k: Kernel, vpn: number): void {
  const { m } = k;
  m.touches(Op.TlbFlush, m.executor!.id);
  m.executor!.tlb.flushPage(vpn);
}

/** A table has come to be found, with what it grants. Only while checking. */
export function prefetchTable(k: Kernel, mm: Mm, startVpn: number, node: number): void {
  const { m } = k;
  for (let i = m.pt.nextUsed(node, 0); i < PTRS_PER_TABLE; i = m.pt.nextUsed(node, i + 1)) {
    m.touches(Op.PteRead, node * PTRS_PER_TABLE + i);
    k.tlbflush.prefetch(k, mm, startVpn + i, node * PTRS_PER_TABLE + i);
  }
}

/**
 * Hardware may cache a translation as soon as the page table grants it. Under the checker every
 * CPU of the address space does so at once, which is the worst case for a forgotten flush.
 */
export function prefetch(k: Kernel, mm: Mm, vpn: number, ptep: number): void {
  const { m } = k;
  const flags = m.pt.flags(ptep);
  if ((flags & PTE.V) === 0 || (flags & PTE.A) === 0) return;
  const page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
  const write = (flags & PTE.W) !== 0 && (flags & PTE.D) !== 0;
  for (const cpu of m.sched.executors) {
    if (cpu.isDevice || (mm.cpumask & (1 << cpu.id)) === 0) continue;
    const slot = vpn & (cpu.tlb.entries - 1);
    // What is cached stays until it is flushed: a prefetch never replaces it by something newer.
    const { readTag, writeTag, execTag } = cpu.tlb;
    if (readTag[slot] !== -1 || writeTag[slot] !== -1 || execTag[slot] !== -1) continue;
    m.touches(Op.TlbFill, cpu.id);
    cpu.tlb.fill(vpn, page, (flags & PTE.R) !== 0, write, (flags & PTE.X) !== 0);
  }
}
