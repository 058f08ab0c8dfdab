/**
 * @linux drivers/iommu/iommu-sva.c
 * @omits PASIDs, one domain for several devices, and user space's part in it: a device is bound to an address space.
 * @omits Accessed and dirty bits by the IOMMU (the RISC-V IOMMU's SADE and GADE): where they are missing, the device asks for the page.
 * @own iommuSvaBindDevice, iommuSvaHandleMm, iommuSvaUnbindDevice, svaAccess32, svaFlush, svaFree
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { FaultFlag, VmFault } from "../mm/fault_flags.js";
import { VM, type Mm } from "../mm/mm_types.js";
import type { Device } from "./device.js";

/** What is cached for one page number of an address space. */
export interface SecondaryEntry {
  readonly page: number;
  readonly write: boolean;
}

/**
 * The TLB of a device that shares a CPU's page table (shared virtual addressing: an IOMMU's TLB, or by PCIe ATS the device's own).
 * Its hardware walks the table and caches what it finds, whenever it likes; a driver can only flush it. Op.DeviceTable announces it.
 */
export class SecondaryTlb {
  /** Of the operations on it. */
  readonly id: number;
  readonly entries = new Map<number, SecondaryEntry>();
  /** Whether the hardware may still walk the page table. */
  bound = true;

  constructor(
    k: Kernel,
    readonly device: Device,
    readonly mm: Mm,
  ) {
    this.id = k.m.locks.allocateId();
    k.m.secondaryTlbs.push(this);
  }
}

/** From here on the device walks the page table of an address space. The driver has subscribed to its flushes before. */
export function* iommuSvaBindDevice(k: Kernel, device: Device, mm: Mm): Atomic<SecondaryTlb> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  return new SecondaryTlb(k, device, mm);
}

/** And from here on it does not: nothing is cached any more, and no access of it is under way. */
export function* iommuSvaUnbindDevice(k: Kernel, tlb: SecondaryTlb): Atomic<void> {
  if (k.m.point(Op.DeviceTable, tlb.id)) yield SWITCH;
  tlb.bound = false;
  tlb.entries.clear();
}

/** A flush, which returns when no access with what was cached is under way. May be called with spinlocks held. */
export function* svaFlush(k: Kernel, tlb: SecondaryTlb, startVpn: number, endVpn: number): Atomic<void> {
  if (k.m.point(Op.DeviceTable, tlb.id)) yield SWITCH;
  for (const vpn of [...tlb.entries.keys()]) if (vpn >= startVpn && vpn < endVpn) tlb.entries.delete(vpn);
}

/** The walk of the hardware on a miss, or where what is cached does not grant a write; null for a page fault. */
function walk(k: Kernel, { mm, entries }: SecondaryTlb, vpn: number, write: boolean): SecondaryEntry | null {
  const { m } = k;
  m.touches(Op.TableRead, tableObject(mm.id, vpn));
  const ptep = mm.pgd < 0 ? -1 : m.pt.find(mm.pgd, vpn);
  m.touches(Op.PteRead, ptep);
  if (ptep < 0) return null;
  const flags = m.pt.flags(ptep);
  const read = PTE.V | PTE.U | PTE.R | PTE.A;
  const written = PTE.W | PTE.D;
  if ((flags & read) !== read || (write && (flags & written) !== written)) return null;
  const entry = { page: m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)), write: (flags & written) === written };
  entries.set(vpn, entry);
  return entry;
}

/**
 * An access of the device to an aligned 32-bit word: a load (`value` is null; what is read, unsigned), or a store (0). -EFAULT where the
 * page table does not grant it, or is none of the device's any more: then the device asks for the page.
 */
export function* svaAccess32(k: Kernel, tlb: SecondaryTlb, addr: number, value: number | null): Atomic<number> {
  const { m } = k;
  if (m.point(Op.DeviceTable, tlb.id)) yield SWITCH;
  if (!tlb.bound) return -Errno.EFAULT;
  const vpn = Math.floor(addr / 4096);
  const write = value !== null;
  const cached = tlb.entries.get(vpn);
  const entry = cached !== undefined && (cached.write || !write) ? cached : walk(k, tlb, vpn, write);
  if (entry === null) return -Errno.EFAULT;
  m.touches(write ? Op.DeviceWrite : Op.DeviceRead, entry.page);
  m.sink?.emit(Event.DeviceAccess, tlb.device.id, vpn, entry.page, write ? 1 : 0);
  const word = (entry.page << 10) + ((addr % 4096) >> 2);
  if (value === null) return m.ram.words[word]! >>> 0;
  m.ram.words[word] = value;
  return 0;
}

/** A page request of the device (iommu_sva_handle_mm()): faults the page in as an access of the process would. 0; -EFAULT where it may not. */
export function* iommuSvaHandleMm(k: Kernel, mm: Mm, vpn: number, write: boolean): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(vpn);
  let error = -Errno.EFAULT;
  if (vma !== null && (vma.flags & (write ? VM.WRITE : VM.READ)) !== 0) {
    const result = yield* k.memory.handleMmFault(k, vma, vpn, FaultFlag.REMOTE | FaultFlag.USER | (write ? FaultFlag.WRITE : 0));
    k.fault.accountFault(k, result);
    if ((result & VmFault.ERROR) === 0) error = 0;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return error;
}

/** The driver is done with it: it is unbound. */
export function* svaFree(k: Kernel, tlb: SecondaryTlb): Atomic<void> {
  const { secondaryTlbs } = k.m;
  if (k.m.point(Op.DeviceTable, tlb.id)) yield SWITCH;
  secondaryTlbs.splice(secondaryTlbs.indexOf(tlb), 1);
}
