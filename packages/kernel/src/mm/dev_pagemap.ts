import type { Atomic, MaySleep } from "../kernel/coroutine.js";
import { WaitQueue } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import type { Vmf } from "./memory.js";

/** What memory of a device is to CPUs: nothing that they could address, or memory as any other. */
export enum MemoryType {
  DEVICE_PRIVATE,
  DEVICE_COHERENT,
}

/** What the owner of device memory does (dev_pagemap_ops). */
export interface DevPagemapOps {
  /** The last reference to a folio of so many pages is gone: it is the driver's again, to be used for something else. */
  folioFree(k: Kernel, folio: number, pages: number): Atomic<void>;
  /**
   * Device-private memory: a CPU wants the page `vmf.page`, whose folio is locked and has a reference at site
   * "migrate_to_ram". VmFault bits; 0 when it is in RAM now, or when the fault is to be tried again.
   */
  migrateToRam?(k: Kernel, vmf: Vmf): MaySleep<number>;
  /**
   * A large folio has been split, and `folio` begins one of its pieces; nobody can reach it meanwhile. `original`
   * is the first page of what it was. Without it, large folios of this memory are never split.
   */
  folioSplit?(k: Kernel, original: number, folio: number): void;
}

/** A range of memory of a device, with pages (struct dev_pagemap). */
export interface DevPagemap {
  readonly type: MemoryType;
  /** Whose it is: who migrates to and from it says so, and others pass over it. */
  readonly owner: object;
  readonly ops: DevPagemapOps;
  readonly firstPage: number;
  readonly pages: number;
  /** Pages of folios that have references. */
  used: number;
  /** Woken when nothing is used any more. */
  readonly idle: WaitQueue;
}

/** All device memory of a machine. */
export class DevicePagemaps {
  /** By their first page. */
  private readonly list: DevPagemap[] = [];

  constructor(private readonly m: Machine) {}

  /** The map that a page of a device belongs to; undefined for none. */
  of(page: number): DevPagemap | undefined {
    for (const pgmap of this.list) if (page >= pgmap.firstPage && page < pgmap.firstPage + pgmap.pages) return pgmap;
    return undefined;
  }

  /** Finds room for so many pages, as the first gap that has it (request_free_mem_region()); null where there is none. */
  add(type: MemoryType, owner: object, ops: DevPagemapOps, pages: number): DevPagemap | null {
    const { memmap } = this.m;
    let first = type === MemoryType.DEVICE_PRIVATE ? memmap.privateStart : memmap.ramPages;
    const end = type === MemoryType.DEVICE_PRIVATE ? memmap.nrPages : memmap.privateStart;
    let at = 0;
    for (; at < this.list.length; at++) {
      const pgmap = this.list[at]!;
      if (pgmap.firstPage < first) continue;
      if (pgmap.firstPage >= first + pages) break;
      first = pgmap.firstPage + pgmap.pages;
    }
    if (first + pages > end) return null;
    const added: DevPagemap = { type, owner, ops, firstPage: first, pages, used: 0, idle: new WaitQueue(this.m) };
    this.list.splice(at, 0, added);
    return added;
  }

  remove(pgmap: DevPagemap): void {
    this.list.splice(this.list.indexOf(pgmap), 1);
  }

  all(): readonly DevPagemap[] {
    return this.list;
  }
}
