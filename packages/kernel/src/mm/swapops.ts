/**
 * @linux include/linux/leafops.h
 * @omits One swap device: real types are 0.
 * @own deviceReadType, deviceWriteType, exclusiveEntriesAreMapped, holdsMapping, isDeviceExclusive, isDevicePrivate,
 *   isHwpoison, isMigration, isReadableMigration, isSwapEntry, isWritableDevicePrivate, isWritableMigration,
 *   makeDevicePrivate, makeHwpoison, makeMigration, makeReadableDevicePrivate, makeReadableExclusiveMigration,
 *   makeReadableMigration, makeSwap, migrationReadExclusiveType, migrationReadType, migrationWriteType, pagemapType,
 *   restoredBits, withSwapType
 */
import type { Kernel } from "../kernel.js";
import { PTE, SWAP_TYPE_SHIFT, swapType } from "../arch/pgtable.js";

/**
 * Non-present entries. Five bits of type: real swap devices count up from 0, special types take
 * the top. Which types a configuration has decides their numbers; these are what Linux 7.3 with
 * migration, device memory, hardware poison and markers shows in pagemap.
 */
export const SWP_DEVICE_EXCLUSIVE = 30 as number;
/**
 * A read-only exclusive entry, on kernels that keep two types; the same as the writable one here,
 * since whether the restored entry may be written is found out when it is restored.
 */
export const SWP_DEVICE_EXCLUSIVE_READ = 30 as number;
/** Real swap devices have types below this. */
export const MAX_SWAPFILES = 24 as number;

/** The types of migration entries stand above hardware poison's, which comes right after the swap devices. */
export function migrationReadType(k: Kernel): number {
  return k.swapops.MAX_SWAPFILES + 1;
}

/** Read-only for now, yet nobody else has the page: a write need not copy it. */
export function migrationReadExclusiveType(k: Kernel): number {
  return k.swapops.MAX_SWAPFILES + 2;
}

export function migrationWriteType(k: Kernel): number {
  return k.swapops.MAX_SWAPFILES + 3;
}

/** An entry of a page in device-private memory; its pfn is the device's. The two types come right after those of migration. */
export function deviceWriteType(k: Kernel): number {
  return k.swapops.MAX_SWAPFILES + 4;
}

export function deviceReadType(k: Kernel): number {
  return k.swapops.MAX_SWAPFILES + 5;
}

export function isDevicePrivate(k: Kernel, flags: number): boolean {
  if ((flags & PTE.SWAP) === 0) return false;
  const type = swapType(flags);
  return type === deviceWriteType(k) || type === deviceReadType(k);
}

/** Whether a device-private entry lets its page be written: by the device, or when it is in RAM again. */
export function isWritableDevicePrivate(k: Kernel, flags: number): boolean {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) === deviceWriteType(k);
}

/** Flags of the entry of a device-private page, with the marks of another entry for it. */
export function makeDevicePrivate(k: Kernel, writable: boolean, marks: number): number {
  return withSwapType(writable ? deviceWriteType(k) : deviceReadType(k)) | keptBits(marks);
}

/** A device-private entry without the permission. */
export function makeReadableDevicePrivate(k: Kernel, flags: number): number {
  return withSwapType(deviceReadType(k)) | (flags & (PTE.SWP_SOFT_DIRTY | PTE.SWP_UFFD_WP));
}

/** Whether an entry that is not present maps a page all the same: it has its reference and its map count. */
export function holdsMapping(k: Kernel, flags: number): boolean {
  return k.swapops.isDevicePrivate(k, flags) || k.swapops.isDeviceExclusive(k, flags);
}

/** An entry of a page that is broken: hardware poison's type comes right after the swap devices. */
export function isHwpoison(k: Kernel, flags: number): boolean {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) === k.swapops.MAX_SWAPFILES;
}

/** Flags of the entry that stands for a broken page in place of another. */
export function makeHwpoison(k: Kernel, pteFlags: number): number {
  return withSwapType(k.swapops.MAX_SWAPFILES) | keptBits(pteFlags);
}

/** An entry whose page is on its way to another frame; the folio that it names is locked. */
export function isMigration(k: Kernel, flags: number): boolean {
  if ((flags & PTE.SWAP) === 0) return false;
  const type = swapType(flags);
  return type >= migrationReadType(k) && type <= migrationWriteType(k);
}

export function isWritableMigration(k: Kernel, flags: number): boolean {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) === migrationWriteType(k);
}

/** A migration entry of a page that others may map as well. */
export function isReadableMigration(k: Kernel, flags: number): boolean {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) === migrationReadType(k);
}

/**
 * Flags of the migration entry that stands in for an entry: a present one, or one that is not but
 * has a page: device-private, or device-exclusive, which is never writable by itself. `exclusive`:
 * nobody else has the page.
 */
export function makeMigration(k: Kernel, pteFlags: number, exclusive: boolean): number {
  const kept = keptBits(pteFlags);
  const shared = exclusive ? migrationReadExclusiveType(k) : migrationReadType(k);
  if ((pteFlags & PTE.SWAP) !== 0) return withSwapType(k.swapops.isWritableDevicePrivate(k, pteFlags) ? migrationWriteType(k) : shared) | kept;
  const young = (pteFlags & PTE.A) !== 0 ? PTE.SWP_MIG_YOUNG : 0;
  const dirty = (pteFlags & PTE.D) !== 0 ? PTE.SWP_MIG_DIRTY : 0;
  return withSwapType((pteFlags & PTE.W) !== 0 ? migrationWriteType(k) : shared) | kept | young | dirty;
}

/** A writable migration entry without the permission, whatever its other bits. */
export function makeReadableExclusiveMigration(k: Kernel, flags: number): number {
  const marks = PTE.SWP_SOFT_DIRTY | PTE.SWP_MIG_YOUNG | PTE.SWP_MIG_DIRTY;
  return withSwapType(migrationReadExclusiveType(k)) | (flags & marks);
}

/** A migration entry of a page that is shared from now on, whatever its other bits. */
export function makeReadableMigration(k: Kernel, flags: number): number {
  const marks = PTE.SWP_SOFT_DIRTY | PTE.SWP_UFFD_WP | PTE.SWP_MIG_YOUNG | PTE.SWP_MIG_DIRTY;
  return withSwapType(migrationReadType(k)) | (flags & marks);
}

/** Whether a device-exclusive entry counts as a mapping of its page, as any other entry does. */
export function exclusiveEntriesAreMapped(): boolean {
  return true;
}

export function isSwapEntry(k: Kernel, flags: number): boolean {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) < k.swapops.MAX_SWAPFILES;
}

export function isDeviceExclusive(k: Kernel, flags: number): boolean {
  if ((flags & PTE.SWAP) === 0) return false;
  const type = swapType(flags);
  return type === k.swapops.SWP_DEVICE_EXCLUSIVE || type === k.swapops.SWP_DEVICE_EXCLUSIVE_READ;
}

/** Flags of the entry that stands in for a present one while a device has its page exclusively. */
export function makeDeviceExclusive(k: Kernel, pteFlags: number): number {
  const writable = (pteFlags & PTE.W) !== 0;
  const type = writable ? k.swapops.SWP_DEVICE_EXCLUSIVE : k.swapops.SWP_DEVICE_EXCLUSIVE_READ;
  return withSwapType(type) | keptBits(pteFlags);
}

/** Flags of a swap entry for swap device 0 that replaces an entry. */
export function makeSwap(pteFlags: number, exclusive: boolean): number {
  return withSwapType(0) | keptBits(pteFlags) | (exclusive ? PTE.SWP_EXCLUSIVE : 0);
}

export function withSwapType(type: number): number {
  return PTE.SWAP | (type << SWAP_TYPE_SHIFT);
}

/** Soft-dirty and write-protect marks survive in swap entries, in bits of their own. */
function keptBits(flags: number): number {
  const present = (flags & PTE.SWAP) === 0;
  const dirty = present ? PTE.SOFT_DIRTY : PTE.SWP_SOFT_DIRTY;
  const wp = present ? PTE.UFFD_WP : PTE.SWP_UFFD_WP;
  return ((flags & dirty) !== 0 ? PTE.SWP_SOFT_DIRTY : 0) | ((flags & wp) !== 0 ? PTE.SWP_UFFD_WP : 0);
}

/** The software bits that a present entry takes over from a swap entry. */
export function restoredBits(swapFlags: number): number {
  return (
    ((swapFlags & PTE.SWP_SOFT_DIRTY) !== 0 ? PTE.SOFT_DIRTY : 0) |
    ((swapFlags & PTE.SWP_UFFD_WP) !== 0 ? PTE.UFFD_WP : 0)
  );
}

/** What pagemap shows in bits 0 to 4 of a swapped or special entry. */
export function pagemapType(_k: Kernel, flags: number): number {
  return swapType(flags);
}
