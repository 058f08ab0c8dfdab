import type { Machine } from "@faultline/kernel";
import { DamageError } from "./codec.js";
import { parseObject } from "./head.js";
import { PART, PartedTable, PartedTables } from "./parted.js";
import { isPhysical, physicalOf, physicalTables, type PhysicalState } from "./physical.js";
import { isShaped } from "./shapes.js";

/*
 * The state of a machine at one moment of its trace, so that a viewer can begin there. It is tables
 * of numbers (memmap, page tables, swap map, device tables) and a description in JSON (address
 * spaces, tasks). Of a table only the parts that differ from the keyframe before are written, every
 * `FULL_EVERY`th time those that differ from zero:
 *
 *   length of the JSON (4), JSON, then for each table in the order of its "tables":
 *   number of parts (4), and for each its index (4) and its bytes (`PART`, or less at the end)
 */

/** A keyframe is complete by itself every so often: that bounds what seeking has to read. */
export const FULL_EVERY = 16;

type Table = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** A [startVpn, endVpn) of an address space, with VM flags. */
export interface VmaState {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly name: string;
}

export interface MmState {
  readonly id: number;
  /** Root node in `pageTables`; -1 when torn down. */
  readonly pgd: number;
  /** Resident pages by RssKind. */
  readonly rss: readonly number[];
  readonly vmas: readonly VmaState[];
}

export interface TaskState {
  readonly id: number;
  readonly comm: string;
  /** Its address space, or 0. */
  readonly mm: number;
  readonly executor: number;
  /** TaskState of the kernel package. */
  readonly state: number;
  readonly waitingFor: string;
}

/** Pages that follow each other in the memmap, and whose pfns do. */
export interface SectionState {
  readonly kind: "ram" | "coherent" | "private";
  readonly page: number;
  readonly pfn: number;
  readonly pages: number;
}

/** How pages of the memmap and pfns belong together. */
export interface MemoryState {
  readonly sections: readonly SectionState[];
  /** The page of zeroes that read faults map. */
  readonly zeroPage: number;
}

/** What a device maps of an address space: its table is `device.DEVICE.mm.MM.NOTIFIER`. */
export interface MirrorState {
  readonly device: number;
  readonly name: string;
  readonly mm: number;
  /** The id that events have. */
  readonly notifier: number;
}

/** The state of a machine. Tables are bytes of little-endian numbers. */
export interface Keyframe {
  /** True when it does not need the one before. */
  readonly full: boolean;
  /** Nanoseconds of machine time. */
  readonly time: number;
  readonly mms: readonly MmState[];
  readonly tasks: readonly TaskState[];
  readonly memory: MemoryState;
  readonly mirrors: readonly MirrorState[];
  /** Zones, blocks, who holds what; null in recordings of versions that did not write it, whose keyframes lack its tables, too. */
  readonly physical: PhysicalState | null;
  /**
   * `memmap.NAME`: a column of the memmap. `pageTables`: pairs of words (see arch/pgtable). `swap.count`:
   * users of each slot. `device.DEVICE.mm.MM.NOTIFIER`: pairs of virtual page number and
   * page << 2 | atomic << 1 | write. Those of `physicalTables`.
   */
  readonly tables: ReadonlyMap<string, Uint8Array>;
}

/** What a keyframe's JSON has. */
interface Description {
  readonly full: boolean;
  readonly time: number;
  readonly mms: readonly MmState[];
  readonly tasks: readonly TaskState[];
  readonly memory: MemoryState;
  readonly mirrors: readonly MirrorState[];
  readonly physical?: PhysicalState;
  /** Name and size in bytes of each table. */
  readonly tables: readonly (readonly [string, number])[];
}

const COLUMNS = ["refcount", "mapcount", "flags", "mapping", "index", "private", "memcg", "order", "head"] as const;

/** Takes keyframes of a machine, each as the difference from the last. */
export class KeyframeTaker {
  private readonly before = new Map<string, Uint8Array>();
  private taken = 0;

  constructor(private readonly m: Machine) {}

  /** The machine as it is now. The bytes belong to the caller. */
  take(): Uint8Array {
    const { m } = this;
    const full = this.taken++ % FULL_EVERY === 0;
    if (full) this.before.clear();
    const tables = [...tablesOf(m)];
    const description: Description = {
      full,
      time: Math.floor(m.now()),
      mms: [...m.mms].map((mm) => ({
        id: mm.id,
        pgd: mm.pgd,
        rss: [...mm.rss],
        vmas: mm.vmas.map((vma) => ({ start: vma.startVpn, end: vma.endVpn, flags: vma.flags, name: vma.name })),
      })),
      tasks: [...m.tasks.values()].map((task) => ({
        id: task.id,
        comm: task.comm,
        mm: task.mm?.id ?? 0,
        executor: task.executor.id,
        state: task.state,
        waitingFor: task.waitingFor,
      })),
      memory: memoryOf(m),
      mirrors: m.mirrors.map(({ device, mm, notifier }) => ({ device: device.id, name: device.name, mm: mm.id, notifier: notifier.id })),
      physical: physicalOf(m),
      tables: tables.map(([name, table]) => [name, table.byteLength]),
    };
    const json = new TextEncoder().encode(JSON.stringify(description));
    const out: Uint8Array[] = [word(json.length), json];
    for (const [name, table] of tables) this.difference(name, new Uint8Array(table.buffer, table.byteOffset, table.byteLength), out);
    // What is gone does not come back as it was.
    for (const name of this.before.keys()) if (!tables.some(([present]) => present === name)) this.before.delete(name);
    return concat(out);
  }

  private difference(name: string, now: Uint8Array, out: Uint8Array[]): void {
    let before = this.before.get(name);
    if (before === undefined || before.length < now.length) {
      const grown = new Uint8Array(now.length);
      if (before !== undefined) grown.set(before);
      this.before.set(name, (before = grown));
    } else if (before.length > now.length) {
      // Zero behind the end, as a reader has it.
      this.before.set(name, (before = before.slice(0, now.length)));
    }
    const parts: number[] = [];
    for (let i = 0; i * PART < now.length; i++) if (differs(now, before, i * PART)) parts.push(i);
    out.push(word(parts.length));
    for (const i of parts) {
      const part = now.subarray(i * PART, (i + 1) * PART);
      before.set(part, i * PART);
      out.push(word(i), part);
    }
  }
}

function* tablesOf(m: Machine): Generator<[string, Table]> {
  // RAM, and memory of devices as far as any has been asked for: there is room for much more.
  const pages = m.pgmaps.all().reduce((end, { firstPage, pages }) => Math.max(end, firstPage + pages), m.memmap.ramPages);
  for (const name of COLUMNS) yield [`memmap.${name}`, m.memmap[name].subarray(0, pages)];
  yield ["pageTables", m.pt.words];
  yield ["swap.count", m.swap.count];
  yield* physicalTables(m, pages);
  for (const { device, mm, notifier, table } of m.mirrors) {
    const words = new Uint32Array(table.size * 2);
    let i = 0;
    for (const [vpn, { page, atomic, write }] of table) {
      words[i++] = vpn;
      words[i++] = (page << 2) | (atomic ? 2 : 0) | (write ? 1 : 0);
    }
    yield [`device.${device.id}.mm.${mm.id}.${notifier.id}`, words];
  }
}

function memoryOf({ memmap, zones }: Machine): MemoryState {
  const ends = [0, memmap.ramPages, memmap.privateStart, memmap.nrPages];
  const sections = (["ram", "coherent", "private"] as const).flatMap((kind, i): SectionState[] => {
    const [page, end] = [ends[i]!, ends[i + 1]!];
    return page === end ? [] : [{ kind, page, pfn: memmap.pageToPfn(page), pages: end - page }];
  });
  return { sections, zeroPage: zones.zeroPage };
}

function differs(now: Uint8Array, before: Uint8Array, from: number): boolean {
  const bytes = Math.min(PART, now.length - from);
  if ((now.byteOffset + from) % 4 !== 0 || bytes % 4 !== 0) {
    for (let i = from; i < from + bytes; i++) if (now[i] !== before[i]) return true;
    return false;
  }
  const a = new Int32Array(now.buffer, now.byteOffset + from, bytes >> 2);
  const b = new Int32Array(before.buffer, before.byteOffset + from, bytes >> 2);
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return true;
  return false;
}

/** Puts a keyframe on top of the one before it (null where there is none, or it is full). */
export function applyKeyframe(before: Keyframe | null, bytes: Uint8Array): Keyframe {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const number = (): number => {
    if (at + 4 > bytes.length) throw new DamageError("a keyframe ends early");
    at += 4;
    return view.getUint32(at - 4, true);
  };
  const take = (n: number): Uint8Array => {
    if (at + n > bytes.length) throw new DamageError("a keyframe ends early");
    at += n;
    return bytes.subarray(at - n, at);
  };
  const description = descriptionOf(new TextDecoder().decode(take(number())));
  if (!description.full && before === null) throw new DamageError("a keyframe lacks the one before it");
  const tables = new Map<string, PartedTable>();
  for (const [name, size] of description.tables) {
    const table = PartedTable.resized(description.full ? null : (before!.tables as PartedTables).part(name), size);
    const parts = number();
    for (let i = 0; i < parts; i++) {
      const index = number();
      if (index * PART >= size) throw new DamageError("a keyframe has a part of nothing");
      table.set(index, take(PartedTable.lengthOf(size, index)));
    }
    tables.set(name, table);
  }
  const { full, time, mms, tasks, memory, mirrors, physical = null } = description;
  return { full, time, mms, tasks, memory, mirrors, physical, tables: new PartedTables(tables) };
}

/** Bytes that the tables of one keyframe may have together: those of a machine of 4 GiB, and devices. */
const TABLE_BYTES_MAX = 1 << 28;

function descriptionOf(text: string): Description {
  const json = parseObject(text);
  const tables = json?.["tables"];
  const ok =
    json !== null &&
    typeof json["full"] === "boolean" &&
    typeof json["time"] === "number" &&
    isShaped(json["mms"], { id: "number", pgd: "number", rss: "numbers" }) &&
    (json["mms"] as readonly Record<string, unknown>[]).every(({ vmas }) => isShaped(vmas, { start: "number", end: "number", flags: "number", name: "string" })) &&
    isShaped(json["tasks"], { id: "number", comm: "string", mm: "number", executor: "number", state: "number", waitingFor: "string" }) &&
    isShaped([json["memory"]], { zeroPage: "number" }) &&
    isShaped((json["memory"] as Record<string, unknown>)["sections"], { kind: "string", page: "number", pfn: "number", pages: "number" }) &&
    isShaped(json["mirrors"], { device: "number", name: "string", mm: "number", notifier: "number" }) &&
    (json["physical"] === undefined || isPhysical(json["physical"])) &&
    Array.isArray(tables) &&
    tables.every((entry: unknown) => Array.isArray(entry) && typeof entry[0] === "string" && Number.isInteger(entry[1]) && (entry[1] as number) >= 0);
  if (!ok) throw new DamageError("a keyframe that is none");
  const description = json as unknown as Description;
  if (description.tables.reduce((sum, [, size]) => sum + size, 0) > TABLE_BYTES_MAX) throw new DamageError("a keyframe that is too large");
  return description;
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
