import { assembleKernel, Machine, PTE, PteMarker, pteMarker, ptePresent, resolvePatches, VM, type Kernel } from "@faultline/kernel";
import type { MemoryState } from "@faultline/trace";
import { Kind } from "../core/kinds.js";
import type { BitView } from "../core/protocol.js";

/** Pages from pfns, as the machine of a trace has them. -1 where there is no memory. */
export function pageOf(memory: MemoryState, pfn: number): number {
  const section = memory.sections.find((s) => pfn >= s.pfn && pfn < s.pfn + s.pages);
  return section === undefined ? -1 : section.page + (pfn - section.pfn);
}

/** The pfn of a page, and what memory that is. */
export function placeOf(memory: MemoryState, page: number): { readonly pfn: number; readonly kind: string } | null {
  const section = memory.sections.find((s) => page >= s.page && page < s.page + s.pages);
  return section === undefined ? null : { pfn: section.pfn + (page - section.page), kind: section.kind };
}

/**
 * Reads page-table entries as the kernel of a trace does: which numbers mean what differs between
 * releases, so its own functions are asked.
 */
export class Entries {
  private readonly k: Kernel;

  /** A release that is unknown here reads as mainline. */
  constructor(release: string, without: readonly string[]) {
    const overlays = resolvePatches({ release, without });
    const m = new Machine({ frames: 64, reservedFrames: 2, swapSlots: 0, cpus: 1, seed: 1, tlbEntries: 8, checking: true });
    this.k = assembleKernel(m, typeof overlays === "string" ? [] : overlays);
  }

  /** @param page what the entry's pfn is, or -1 */
  kind(flags: number, pfn: number, page: number, vmaFlags: number, memory: MemoryState): Kind {
    const { k } = this;
    if (flags === 0) return Kind.None;
    if (!ptePresent(flags)) {
      if ((flags & PTE.SWAP) === 0) return Kind.Invalid;
      const marker = pteMarker(flags, pfn);
      if ((marker & PteMarker.POISONED) !== 0) return Kind.Poison;
      if ((marker & PteMarker.GUARD) !== 0) return Kind.Guard;
      if (marker !== 0) return Kind.UffdMarker;
      if (k.swapops.isMigration(k, flags)) return Kind.Migration;
      if (k.swapops.isDeviceExclusive(k, flags)) return Kind.DeviceExclusive;
      if (k.swapops.isDevicePrivate(k, flags)) return Kind.DevicePrivate;
      if (k.swapops.isHwpoison(k, flags)) return Kind.Poison;
      return Kind.Swap;
    }
    if ((flags & PTE.V) === 0) return (vmaFlags & (VM.READ | VM.WRITE | VM.EXEC)) === 0 ? Kind.ProtNone : Kind.NumaHint;
    if (page === memory.zeroPage) return Kind.Zero;
    if (page >= 0 && placeOf(memory, page)?.kind === "coherent") return Kind.DeviceCoherent;
    return (flags & PTE.W) !== 0 ? Kind.Writable : Kind.ReadOnly;
  }

  /** Whether an entry names a page: present, invalid, or migration, device-private, device-exclusive. */
  namesPage(kind: Kind): boolean {
    switch (kind) {
      case Kind.None:
      case Kind.Swap:
      case Kind.UffdMarker:
      case Kind.Guard:
      case Kind.Poison:
        return false;
      case Kind.Writable:
      case Kind.ReadOnly:
      case Kind.Zero:
      case Kind.ProtNone:
      case Kind.NumaHint:
      case Kind.Migration:
      case Kind.DevicePrivate:
      case Kind.DeviceCoherent:
      case Kind.DeviceExclusive:
      case Kind.Invalid:
        return true;
    }
  }

  /** Whether an entry with a page lets it be written: by a CPU, or the device that has it. */
  mayWrite(kind: Kind, flags: number): boolean {
    const { k } = this;
    return kind === Kind.DevicePrivate ? k.swapops.isWritableDevicePrivate(k, flags) : (flags & PTE.W) !== 0;
  }

  /** An entry in words. */
  words(kind: Kind, flags: number, pfn: number): string {
    const { k } = this;
    const hex = `0x${pfn.toString(16)}`;
    switch (kind) {
      case Kind.None:
        return "none";
      case Kind.Swap:
        return `swap slot ${pfn}${(flags & PTE.SWP_EXCLUSIVE) !== 0 ? ", exclusive" : ""}`;
      case Kind.Migration:
        return `migration entry of pfn ${hex}, ${k.swapops.isWritableMigration(k, flags) ? "writable" : k.swapops.isReadableMigration(k, flags) ? "read-only" : "read-only, exclusive"}`;
      case Kind.DevicePrivate:
        return `device-private pfn ${hex}, ${k.swapops.isWritableDevicePrivate(k, flags) ? "writable" : "read-only"}`;
      case Kind.DeviceExclusive:
        return `device-exclusive entry of pfn ${hex}`;
      case Kind.UffdMarker:
        return "marker: userfaultfd write-protects what comes here";
      case Kind.Guard:
        return "marker: guard region";
      case Kind.Poison:
        return pteMarker(flags, pfn) !== 0 ? "marker: poisoned" : `hardware poison, pfn ${hex}`;
      case Kind.Invalid:
        return `pfn ${hex}, invalid for a moment`;
      case Kind.Writable:
      case Kind.ReadOnly:
      case Kind.Zero:
      case Kind.ProtNone:
      case Kind.NumaHint:
      case Kind.DeviceCoherent:
        return `pfn ${hex}`;
    }
  }

  /** Bit by bit; those of a present entry, or of one that is not. */
  bits(flags: number): readonly BitView[] {
    if (flags === 0) return [];
    const table = (flags & PTE.SWAP) !== 0 ? SWAP_BITS : PRESENT_BITS;
    const bits = table.map(([bit, name]): BitView => ({ name, set: (flags & bit) !== 0 }));
    if ((flags & PTE.SWAP) === 0) return bits;
    return [{ name: `type ${(flags >>> 16) & 31}`, set: true }, ...bits];
  }
}

/** A bit, and its name, by which core/docs.ts explains it. */
type Bit = readonly [bit: number, name: string];

const PRESENT_BITS: readonly Bit[] = [
  [PTE.V, "V"],
  [PTE.R, "R"],
  [PTE.W, "W"],
  [PTE.X, "X"],
  [PTE.U, "U"],
  [PTE.PROT_NONE, "PROT_NONE"],
  [PTE.A, "A"],
  [PTE.D, "D"],
  [PTE.SPECIAL, "SPECIAL"],
  [PTE.SOFT_DIRTY, "SOFT_DIRTY"],
  [PTE.UFFD_WP, "UFFD_WP"],
];

const SWAP_BITS: readonly Bit[] = [
  [PTE.SWAP, "SWAP"],
  [PTE.SWP_EXCLUSIVE, "EXCLUSIVE"],
  [PTE.SWP_SOFT_DIRTY, "SOFT_DIRTY"],
  [PTE.SWP_UFFD_WP, "UFFD_WP"],
  [PTE.SWP_MIG_YOUNG, "YOUNG"],
  [PTE.SWP_MIG_DIRTY, "DIRTY"],
];

/** "rw-p", as /proc/PID/maps has it. */
export function rightsOf(vmaFlags: number): string {
  const has = (bit: number, letter: string): string => ((vmaFlags & bit) !== 0 ? letter : "-");
  return has(VM.READ, "r") + has(VM.WRITE, "w") + has(VM.EXEC, "x") + ((vmaFlags & (VM.SHARED | VM.MAYSHARE)) !== 0 ? "s" : "p");
}

const NAMED_FLAGS: readonly (readonly [number, string])[] = [
  [VM.UFFD_MISSING, "uffd missing"],
  [VM.UFFD_WP, "uffd wp"],
  [VM.UFFD_RWP, "uffd rwp"],
  [VM.UFFD_MINOR, "uffd minor"],
  [VM.LOCKED, "locked"],
  [VM.PFNMAP, "pfnmap"],
  [VM.HUGETLB, "hugetlb"],
  [VM.SEALED, "sealed"],
  [VM.HUGEPAGE, "hugepage"],
  [VM.NOHUGEPAGE, "nohugepage"],
];

export function flagsOf(vmaFlags: number): string {
  return NAMED_FLAGS.filter(([bit]) => (vmaFlags & bit) !== 0)
    .map(([, name]) => name)
    .join(", ");
}
