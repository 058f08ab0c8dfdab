import { RwSem } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import type { Vma } from "./mm_types.js";
import { NO_PAGE } from "./page.js";

/** What an address space needs to know of the file whose pages it has. */
export interface MappingHost {
  readonly ino: number;
  /** In bytes. */
  size: number;
  /** Its pages are mapped, and nothing else: reclaim, migration and get_user_pages() leave them alone. */
  readonly secret?: true;
  /** Its pages are copies of what lies elsewhere: they stay when nobody has the file open, until their memory is wanted. */
  readonly cached?: true;
  /** Reclaim has taken pages that were zeros yet: the file has holes there again. */
  reclaimed?(pages: number): void;
}

/**
 * struct address_space: the pages of a file by their index in it, and who maps it. An entry is a
 * page, or, of a file in memory, the swap slot that its contents went to (`swpToRadixEntry`); a large
 * folio has an entry for each of its pages, but for one of hugetlb, which has one. Every folio here has
 * a reference for each of its pages.
 *
 * An access to an entry is one step: what Linux guards with the lock of the xarray.
 */
export class AddressSpace {
  /** Indexes that the objects of one address space have room for; more of them share. */
  static readonly OBJECTS = 2 ** 28;
  readonly entries = new Map<number, number>();
  /** Reclaim leaves the pages alone (AS_UNEVICTABLE): those of secret memory, and of a segment that SHM_LOCK has locked. */
  unevictable = false;
  /** i_mmap: the VMAs that map a part of the file, whatever has become of their pages. Guarded by `lock`. */
  readonly vmas = new Set<Vma>();
  readonly lock: RwSem;

  constructor(
    m: Machine,
    readonly id: number,
    readonly host: MappingHost,
    lockName: string,
  ) {
    this.lock = new RwSem(m.locks, lockName);
  }

  /** The page or swap entry at an index; NO_PAGE for a hole. */
  at(index: number): number {
    return this.entries.get(index) ?? NO_PAGE;
  }

  /** What `Op.PageCacheRead` and its like have as their object. */
  object(index: number): number {
    return this.id * AddressSpace.OBJECTS + (index % AddressSpace.OBJECTS);
  }

  /** The indexes from `start` below `end` that have something, in order. */
  indexesIn(start: number, end: number): number[] {
    const found: number[] = [];
    if (end - start <= this.entries.size) {
      for (let index = start; index < end; index++) if (this.entries.has(index)) found.push(index);
      return found;
    }
    for (const index of this.entries.keys()) if (index >= start && index < end) found.push(index);
    return found.sort((a, b) => a - b);
  }

  /** Whether somebody could write to the file by a mapping, or could after mprotect(). */
  hasWritableMapping(mayWrite: (vma: Vma) => boolean): boolean {
    for (const vma of this.vmas) if (mayWrite(vma)) return true;
    return false;
  }
}

/** The entry that stands for a swap slot (swp_to_radix_entry()). */
export function swpToRadixEntry(slot: number): number {
  return -1 - slot;
}

/** Whether an entry is a value, and no page: of the files here, what stands for a swap slot (xa_is_value()). */
export function xaIsValue(entry: number): boolean {
  return entry < NO_PAGE;
}

/** The slot that such a value stands for (radix_to_swp_entry()). */
export function radixToSwpEntry(entry: number): number {
  return -1 - entry;
}

/** The address spaces of a machine that have had pages, by id: what `mapping` of a file's folio leads to. */
export class AddressSpaces {
  private readonly byId = new Map<number, AddressSpace>();
  private nextId = 1;

  constructor(private readonly m: Machine) {}

  create(host: MappingHost, lockName = "i_mmap_rwsem"): AddressSpace {
    return new AddressSpace(this.m, this.nextId++, host, lockName);
  }

  /** It has pages from here on that lead to it. */
  add(mapping: AddressSpace): void {
    this.byId.set(mapping.id, mapping);
  }

  get(id: number): AddressSpace | undefined {
    return this.byId.get(id);
  }

  /** Forgets one that has no pages, of a file that is gone. */
  drop(mapping: AddressSpace): void {
    this.byId.delete(mapping.id);
  }

  all(): Iterable<AddressSpace> {
    return this.byId.values();
  }
}
