import { BatchKind, Hold, MemoryType, radixToSwpEntry, xaIsValue, type Machine } from "@faultline/kernel";
import { isShaped } from "./shapes.js";

/*
 * What a keyframe knows of physical memory besides the memmap. Recordings of earlier versions have none of it, and
 * readers of earlier versions pass over it: it is of the same format.
 */

/** A zone of a node: [start, end) are pages of the memmap. Sizes and watermarks in pages. */
export interface ZoneState {
  readonly node: number;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly present: number;
  readonly managed: number;
  /** Of the buddy lists, and on lists of CPUs besides. */
  readonly free: number;
  readonly pcp: number;
  readonly min: number;
  readonly low: number;
  readonly high: number;
}

/** A memory block, as /sys/devices/system/memory/memoryID has it. */
export interface BlockState {
  readonly id: number;
  readonly page: number;
  readonly pages: number;
  readonly state: string;
  /** Of its zone; "" while offline. */
  readonly zone: string;
  readonly node: number;
}

/** Memory of a device that has pages (struct dev_pagemap). */
export interface PagemapState {
  readonly kind: "coherent" | "private";
  readonly owner: string;
  readonly page: number;
  readonly pages: number;
  /** Pages of folios that somebody refers to. */
  readonly used: number;
}

/** Folios that wait in a CPU's batch, each with a reference. */
export interface BatchState {
  readonly cpu: number;
  readonly kind: string;
  readonly folios: readonly number[];
}

/** A reference that a task has in a variable, or an open file; known while checking. */
export interface HoldState {
  readonly folio: number;
  /** 0 for an open file. */
  readonly task: number;
  /** Where in the kernel it was taken. */
  readonly site: string;
  readonly hold: "reference" | "pin" | "long-term pin";
}

export interface MemcgState {
  readonly id: number;
  readonly path: string;
}

export interface PhysicalState {
  readonly zones: readonly ZoneState[];
  readonly blocks: readonly BlockState[];
  readonly pagemaps: readonly PagemapState[];
  readonly batches: readonly BatchState[];
  /** Null where nobody keeps account: runs that are not checked. */
  readonly holds: readonly HoldState[] | null;
  readonly memcgs: readonly MemcgState[];
  /** The page of zeroes for 2 MiB, or -1. */
  readonly hugeZero: number;
}

/** The state of physical memory of a machine, but for what tables have (`physicalTables`). */
export function physicalOf(m: Machine): PhysicalState {
  const { zones, memoryBlocks, pgmaps, batches, refs, memcgs, thp } = m;
  return {
    zones: zones.list
      .filter(({ present }) => present > 0)
      .map((zone) => {
        const { node, name, startPage, endPage, present, managed, free, min, low, high } = zone;
        return { node, name, start: startPage, end: endPage, present, managed, free, pcp: zones.pcpPages(undefined, zone), min, low, high };
      }),
    blocks: memoryBlocks.list.map(({ id, firstPage, pages, state }) => ({
      id,
      page: firstPage,
      pages,
      state,
      zone: zones.isOnline(firstPage) ? zones.zoneOf(firstPage).name : "",
      node: m.nodes.of(firstPage),
    })),
    pagemaps: pgmaps.all().map(({ type, owner, firstPage, pages, used }) => ({
      kind: type === MemoryType.DEVICE_PRIVATE ? "private" : "coherent",
      owner: "name" in owner && typeof owner.name === "string" ? owner.name : "",
      page: firstPage,
      pages,
      used,
    })),
    batches: Array.from({ length: m.config.cpus }, (_, cpu) =>
      batches.of(cpu).map((batch, kind): BatchState => ({ cpu, kind: BatchKind[kind] ?? "mlock", folios: BatchKind[kind] === undefined ? batch.map((entry) => entry >> 2) : [...batch] })),
    )
      .flat()
      .filter(({ folios }) => folios.length > 0),
    holds: refs === null ? null : [...refs.all()].map(({ page, task, site, hold }) => ({ folio: page, task: task?.id ?? 0, site, hold: HOLDS[hold] })),
    memcgs: [...memcgs.root.subtree()].map(({ id, path }) => ({ id, path })),
    hugeZero: thp.hugeZeroFolio,
  };
}

const HOLDS: Readonly<Record<Hold, HoldState["hold"]>> = { [Hold.Reference]: "reference", [Hold.Pin]: "pin", [Hold.LongtermPin]: "long-term pin" };

/**
 * `pins`: pairs of a large folio and its pins. `pcp`: free pages on lists of CPUs. `swap.memcg`: who each slot is
 * charged to. `swap.files`: triples of a slot, the id of the file that has its page there, and the index in it.
 */
export function* physicalTables(m: Machine, pages: number): Generator<[string, Uint32Array | Uint16Array]> {
  const { memmap, zones, swap, mappings } = m;
  const pins: number[] = [];
  for (let page = 0; page < pages; page++) if (memmap.pincount[page] !== 0) pins.push(page, memmap.pincount[page]!);
  yield ["pins", Uint32Array.from(pins)];
  const pcp: number[] = [];
  for (let cpu = 0; cpu < m.config.cpus; cpu++) for (const page of zones.pcpPagesInOrder(cpu)) pcp.push(page);
  yield ["pcp", Uint32Array.from(pcp)];
  yield ["swap.memcg", swap.memcg];
  const files: number[] = [];
  if (swap.used > 0) {
    for (const { id, entries } of mappings.all()) for (const [index, entry] of entries) if (xaIsValue(entry)) files.push(radixToSwpEntry(entry), id, index % 2 ** 32);
  }
  yield ["swap.files", Uint32Array.from(files)];
}

/** Whether what a keyframe has under "physical" is that. */
export function isPhysical(value: unknown): value is PhysicalState {
  if (typeof value !== "object" || value === null) return false;
  const { zones, blocks, pagemaps, batches, holds, memcgs, hugeZero } = value as Record<string, unknown>;
  return (
    isShaped(zones, { node: "number", name: "string", start: "number", end: "number", present: "number", managed: "number", free: "number", pcp: "number", min: "number", low: "number", high: "number" }) &&
    isShaped(blocks, { id: "number", page: "number", pages: "number", state: "string", zone: "string", node: "number" }) &&
    isShaped(pagemaps, { kind: "string", owner: "string", page: "number", pages: "number", used: "number" }) &&
    isShaped(batches, { cpu: "number", kind: "string", folios: "numbers" }) &&
    (holds === null || isShaped(holds, { folio: "number", task: "number", site: "string", hold: "string" })) &&
    isShaped(memcgs, { id: "number", path: "string" }) &&
    Number.isSafeInteger(hugeZero)
  );
}

