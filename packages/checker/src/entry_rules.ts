import { NO_PAGE, PG, PTE, ptePresent, VM, type DeviceEntry, type DeviceMirror, type Kernel, type Mm } from "@faultline/kernel";
import type { Finding } from "./violation.js";

/**
 * Why a device's translation is not backed by the CPU's page table; null when it is: the same page,
 * with the permission, by an ordinary entry or one for memory of the device, or, for atomic operations, by a
 * device-exclusive one. While a driver migrates, or memory of the device is on its way, a migration entry will do: the
 * device has the page, or had it, and its driver sees to that.
 */
export function unbacked(k: Kernel, mirror: DeviceMirror, vpn: number, { page, write, atomic }: DeviceEntry): string | null {
  const { mm } = mirror;
  const { m, swapops } = k;
  const ptep = mm.pgd < 0 ? -1 : m.pt.find(mm.pgd, vpn);
  const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
  if (flags === 0) return "the CPU's entry is empty";
  if (swapops.isMigration(k, flags)) return migratesItself(k, mirror, page) ? null : "the CPU's entry is a migration entry";
  if (swapops.isDevicePrivate(k, flags)) {
    const backing = k.deviceMemory.backingPage(k, m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)));
    if (backing !== page && replacesZeros(k, mirror, page, write, m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)))) return null;
    if (backing !== page) return `the CPU's entry is for device-private memory whose backing page is frame ${backing}`;
    if (atomic) return "the CPU's entry is a device-private one";
    return write && !swapops.isWritableDevicePrivate(k, flags) ? "the CPU's entry is read-only" : null;
  }
  const exclusive = swapops.isDeviceExclusive(k, flags);
  if (!exclusive && (flags & (PTE.V | PTE.PROT_NONE)) === 0) return "the CPU's entry is in swap";
  const backing = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
  if (backing !== page && replacesZeros(k, mirror, page, write, backing)) return null;
  if (backing !== page) return `the CPU's entry is for frame ${backing}`;
  if (atomic) return exclusive ? null : "the CPU's entry is an ordinary one";
  if (exclusive) return "the CPU's entry is a device-exclusive one";
  if ((flags & PTE.PROT_NONE) !== 0) return "the CPU's entry grants nothing";
  return write && (flags & PTE.W) === 0 ? "the CPU's entry is read-only" : null;
}

/** Whether the driver moves an untouched page, which the device reads as zeros still: nobody can have written the new one, which is locked. */
function replacesZeros(k: Kernel, { migrations }: DeviceMirror, page: number, write: boolean, made: number): boolean {
  const { memmap } = k.m;
  return migrations > 0 && !write && k.hmm.isZeroPage(k, page) && memmap.isZoneDevice(made) && memmap.has(memmap.folioOf(made), PG.locked);
}

/** The page of device-private memory of which a frame has the contents; NO_PAGE where it is something else. */
export function devicePageOf(k: Kernel, frame: number): number {
  const { memmap, pgmaps } = k.m;
  if (memmap.has(frame, PG.swapcache | PG.buddy | PG.hugetlb)) return NO_PAGE;
  const own = memmap.private[frame]!;
  if (!memmap.isDevicePrivate(own) || pgmaps.of(own) === undefined) return NO_PAGE;
  return k.deviceMemory.backingPage(k, own) === frame ? own : NO_PAGE;
}

/** Whether a mirror may be moving a frame itself: it says so, or the frame is memory of a device that somebody refers to, or has the contents of some. */
function migratesItself(k: Kernel, { migrations }: DeviceMirror, page: number): boolean {
  const { memmap } = k.m;
  if (migrations > 0) return true;
  const own = memmap.isZoneDevice(page) ? page : devicePageOf(k, page);
  return own !== NO_PAGE && memmap.refcount[memmap.folioOf(own)]! > 0;
}

/**
 * Whether the CPU's entry is one of a page on its way, or is for memory of the device that a migration has just made there,
 * in place of nothing or of zeros: its driver has it locked, and `page` has its contents.
 */
export function onItsWay(k: Kernel, { mm }: DeviceMirror, vpn: number, page: number): boolean {
  const { m, swapops } = k;
  const ptep = mm.pgd < 0 ? -1 : m.pt.find(mm.pgd, vpn);
  if (ptep < 0 || m.pt.isNone(ptep)) return false;
  const flags = m.pt.flags(ptep);
  if (swapops.isMigration(k, flags)) return true;
  if (!ptePresent(flags) && !swapops.isDevicePrivate(k, flags)) return false;
  const made = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
  return m.memmap.isZoneDevice(made) && m.memmap.has(m.memmap.folioOf(made), PG.locked) && k.deviceMemory.backingPage(k, made) === page;
}

/** Nothing is there, or what is there for 2 MiB has just been made invalid: swap entries for 2 MiB are these two alone. */
function isTakenOut(k: Kernel, ptep: number): boolean {
  const { pt } = k.m;
  if (pt.isNone(ptep)) return true;
  const flags = pt.flags(ptep);
  return pt.isHuge(ptep) && (flags & (PTE.V | PTE.PROT_NONE)) === 0 && !k.swapops.isMigration(k, flags) && !k.swapops.isDevicePrivate(k, flags);
}

/** How a device maps a page, in a word. */
export function howMapped(entry: DeviceEntry): string {
  return entry.atomic ? "exclusively" : entry.write ? "writable" : "readable";
}

/**
 * An entry has just been written: under the lock of its table, and devices dropped before what it
 * no longer backs. What a device enters meanwhile, the notifier's sequence tells it to drop again.
 */
export function entryWritten(k: Kernel, mirrors: readonly DeviceMirror[], ptep: number, vpn: number): Finding | null {
  const { m } = k;
  const task = m.current?.comm ?? "nobody";
  const lock = m.pt.lockIfAny(ptep);
  if (lock !== undefined && lock.owner !== m.current) {
    return { kind: "page-table-lock", message: `${task} changes the entry at page 0x${vpn.toString(16)} without its page-table lock`, about: { vpn } };
  }
  for (const mirror of mirrors) {
    const { mm, table, device } = mirror;
    if (table.size === 0 || mm.pgd < 0) continue;
    const entry = table.get(vpn);
    if (entry === undefined || m.pt.find(mm.pgd, vpn) !== ptep) continue;
    const wrong = unbacked(k, mirror, vpn, entry);
    if (wrong === null) continue;
    // Its driver takes memory of the device back, or gives it away, and has not come to the device's own table yet.
    if (isTakenOut(k, ptep) && mm.activeInvalidations > 0 && migratesItself(k, mirror, entry.page)) continue;
    const what = `${device.name} maps frame ${entry.page} ${howMapped(entry)} at page 0x${vpn.toString(16)}`;
    return { kind: "device-table", about: { page: entry.page, vpn, mm: mm.id }, message: `${task} changes the entry, and no notifier has made the device drop its own: ${what}, but ${wrong}` };
  }
  return null;
}

/** The device that has a page besides `owner`, where one of the two has it exclusively; null when there is none. */
export function otherOwner(mirrors: readonly DeviceMirror[], owner: DeviceMirror, entry: DeviceEntry): DeviceMirror | null {
  for (const other of mirrors) {
    if (other === owner || other.table.size === 0) continue;
    for (const [, theirs] of other.table) if (theirs.page === entry.page && (theirs.atomic || entry.atomic)) return other;
  }
  return null;
}

/** What is wrong with an entry as the VMAs have it; null when nothing is. */
export function notGranted(mm: Mm, vpn: number, flags: number): string | null {
  const vma = mm.vmaAt(vpn);
  if (vma === null) return "lies in no VMA";
  if ((flags & PTE.V) === 0) return null;
  if ((vma.flags & VM.UFFD_RWP) !== 0 && (flags & PTE.UFFD_WP) !== 0) return "can be accessed, and userfaultfd has protected it";
  if ((flags & PTE.W) !== 0 && (flags & PTE.UFFD_WP) !== 0) return "can be written, and userfaultfd has protected it";
  if ((flags & PTE.W) !== 0 && (vma.flags & VM.WRITE) === 0) return "can be written, and its VMA cannot";
  if ((flags & PTE.R) !== 0 && (vma.flags & (VM.READ | VM.WRITE)) === 0) return "can be read, and its VMA cannot";
  return null;
}

/**
 * What is wrong with a present entry that grants nothing in memory that may be accessed, and that userfaultfd has not protected:
 * only NUMA balancing makes such, and not of every page. Null when nothing is.
 */
export function hintsWrongly(k: Kernel, mm: Mm, vpn: number, flags: number, pfn: number): string | null {
  const { m } = k;
  const vma = mm.vmaAt(vpn);
  if (vma === null || (flags & PTE.PROT_NONE) === 0 || (vma.flags & (VM.READ | VM.WRITE | VM.EXEC)) === 0) return null;
  if ((vma.flags & VM.UFFD_RWP) !== 0 && (flags & PTE.UFFD_WP) !== 0) return null;
  const what = "waits for a NUMA hinting fault";
  if ((flags & (PTE.V | PTE.W)) !== 0) return `${what}, and can be accessed`;
  if (m.vmstat.events.numa_pte_updates === 0) return `${what}, and nothing was scanned`;
  if ((flags & PTE.SPECIAL) !== 0 || m.memmap.isZoneDevice(m.memmap.pfnToPage(pfn))) return `${what}, and has no page that could move`;
  return (vma.flags & (VM.HUGETLB | VM.PFNMAP)) !== 0 ? `${what}, and its VMA is not scanned` : null;
}

/** Why a reverse walk from a page would not find its mapping; null when it would. */
export function missedByRmap(k: Kernel, mm: Mm, vpn: number, page: number): string | null {
  const { memmap, anonVmas } = k.m;
  const folio = memmap.folioOf(page);
  const vma = mm.vmaAt(vpn);
  if (vma === null) return null;
  if (memmap.isFile(folio)) {
    const mapping = k.filemap.folioMapping(k, folio);
    if (mapping === null) return "its file is gone";
    if (!mapping.vmas.has(vma)) return "its file does not know of the VMA";
    return memmap.index[folio]! + (page - folio) === vma.linearIndex(vpn) ? null : "it is at another index of its file";
  }
  if (!memmap.isAnon(folio)) return null;
  if (memmap.isKsm(folio)) {
    // Until ksmd comes by, it does not know of every mapping that a child has; of the page itself it does.
    const node = k.ksmTree.stableNodeOf(k, folio);
    return node === null || node.page === folio ? null : `its stable node is that of frame ${node.page}`;
  }
  const anonVma = anonVmas.get(memmap.mapping[folio]! >> 1);
  if (anonVma === undefined) return "its anon_vma is gone";
  if (!anonVma.vmas.has(vma)) return "its anon_vma does not have the VMA";
  for (const other of anonVma.vmas) if (other.detached) return "its anon_vma has a VMA that is gone";
  const index = memmap.index[folio]! + (page - folio);
  return index === vma.linearIndex(vpn) ? null : `it is looked for at page 0x${(vma.startVpn + index - vma.pgoff).toString(16)}`;
}
