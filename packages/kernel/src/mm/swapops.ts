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
