import { Event, PTE, PTRS_PER_TABLE } from "@faultline/kernel";
import type { Keyframe, MirrorState, MmState, TaskState, Trace } from "@faultline/trace";
import type { Basis } from "../core/protocol.js";

export interface DevicePage {
  readonly page: number;
  readonly write: boolean;
  readonly atomic: boolean;
}

/** A mirror, and its translations by virtual page number. */
export interface Mirror extends MirrorState {
  readonly table: Map<number, DevicePage>;
}

/** The machine as it was right after one event. */
export interface State {
  readonly step: number;
  readonly basis: Basis;
  readonly keyframe: Keyframe;
  readonly mms: readonly MmState[];
  readonly tasks: readonly TaskState[];
  readonly mirrors: readonly Mirror[];
  /** Pairs of words of each entry: see kernel/src/arch/pgtable.ts. */
  readonly words: Uint32Array;
  /** Columns of the memmap by name, as they were at the keyframe. */
  column(name: string): Int32Array | Float64Array | Uint16Array | Uint8Array;
}

/** States of one trace: the keyframe before, and what page-table and device events say since. */
export class States {
  private last: State | null = null;
  private keyframe: { readonly index: number; readonly at: Keyframe } | null = null;

  constructor(private readonly trace: Trace) {}

  /** The state after an event, or what is wrong with the trace. */
  at(step: number): State | string {
    if (this.last?.step === step) return this.last;
    const { keyframes } = this.trace;
    let index = 0;
    while (index + 1 < keyframes.length && keyframes[index + 1]!.events <= step + 1) index++;
    const info = keyframes[index];
    if (info === undefined) return "this trace has no keyframes: it can be read as events only";
    const keyframe = this.at2(index);
    if (typeof keyframe === "string") return keyframe;
    const state = this.build(step, index, info.events, keyframe);
    if (typeof state !== "string") this.last = state;
    return state;
  }

  private at2(index: number): Keyframe | string {
    if (this.keyframe?.index === index) return this.keyframe.at;
    const at = this.trace.keyframe(index);
    if (typeof at !== "string") this.keyframe = { index, at };
    return at;
  }

  private build(step: number, index: number, events: number, keyframe: Keyframe): State | string {
    const words = numbersOf(keyframe.tables.get("pageTables"), Uint32Array).slice();
    const mirrors = keyframe.mirrors.map((mirror): Mirror => ({ ...mirror, table: translations(keyframe, mirror) }));
    const later = this.laterTables(index, step + 1 > events);
    const replayed = new Replayed(words, mirrors);
    // A keyframe is taken while its last event is told, which some tell just ahead of what they do.
    const wrong = this.trace.replayRange(Math.max(0, events - 1), step + 1, replayed);
    if (wrong !== null) return wrong;
    if (later !== null) replayed.link(later.words);
    const mms = [...keyframe.mms, ...(later?.mms ?? []).filter(({ id, pgd }) => pgd >= 0 && !keyframe.mms.some((mm) => mm.id === id) && replayed.wrote(pgd))];
    const tasks = [...keyframe.tasks, ...(later?.tasks ?? []).filter(({ id }) => !keyframe.tasks.some((task) => task.id === id))];
    const columns = new Map<string, ReturnType<State["column"]>>();
    return {
      step,
      basis: { keyframe: index, since: Math.max(0, step + 1 - events) },
      keyframe,
      mms,
      tasks,
      mirrors,
      words: replayed.words,
      column: (name) => {
        let column = columns.get(name);
        if (column === undefined) columns.set(name, (column = numbersOf(keyframe.tables.get(`memmap.${name}`), COLUMN_TYPES[name] ?? Int32Array)));
        return column;
      },
    };
  }

  /** Tables that have come since the keyframe hang where the next one has them: no event says where. */
  private laterTables(index: number, needed: boolean): { readonly words: Uint32Array; readonly mms: readonly MmState[]; readonly tasks: readonly TaskState[] } | null {
    if (!needed || index + 1 >= this.trace.keyframes.length) return null;
    const next = this.trace.keyframe(index + 1);
    return typeof next === "string" ? null : { words: numbersOf(next.tables.get("pageTables"), Uint32Array), mms: next.mms, tasks: next.tasks };
  }
}

type NumberArray = Int32Array | Uint32Array | Float64Array | Uint16Array | Uint8Array;

const COLUMN_TYPES: Readonly<Record<string, new (buffer: ArrayBuffer, offset: number, length: number) => Int32Array | Float64Array | Uint16Array | Uint8Array>> = {
  index: Float64Array,
  memcg: Uint16Array,
  order: Uint8Array,
};

export function numbersOf<T extends NumberArray>(bytes: Uint8Array | undefined, type: new (buffer: ArrayBuffer, offset: number, length: number) => T): T {
  const { BYTES_PER_ELEMENT } = type as unknown as { BYTES_PER_ELEMENT: number };
  const whole = bytes ?? new Uint8Array();
  const aligned = whole.byteOffset % BYTES_PER_ELEMENT === 0 ? whole : whole.slice();
  return new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, Math.floor(aligned.byteLength / BYTES_PER_ELEMENT));
}

function translations({ tables }: Keyframe, { device, mm, notifier }: MirrorState): Map<number, DevicePage> {
  const words = numbersOf(tables.get(`device.${device}.mm.${mm}.${notifier}`), Uint32Array);
  const table = new Map<number, DevicePage>();
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [vpn, entry] = [words[i]!, words[i + 1]!];
    table.set(vpn, { page: entry >>> 2, write: (entry & 1) !== 0, atomic: (entry & 2) !== 0 });
  }
  return table;
}

/** No machine has more page tables: a trace that names one behind these is not followed. */
const NODES_MAX = 1 << 20;

/** Puts events on top of a keyframe. */
class Replayed {
  /** Tables that were written to. */
  private readonly written = new Set<number>();

  constructor(
    public words: Uint32Array,
    private readonly mirrors: readonly Mirror[],
  ) {}

  name(): void {}

  event(_time: number, _executor: number, _task: number, event: Event, a: number, b: number, c: number, d: number): void {
    switch (event) {
      case Event.SetPte:
        if (this.reach(Math.floor(a / PTRS_PER_TABLE))) this.set(a, b, c);
        break;
      case Event.TableFree:
        if (this.reach(a)) this.words.fill(0, a * PTRS_PER_TABLE * 2, (a + 1) * PTRS_PER_TABLE * 2);
        this.written.delete(a);
        break;
      case Event.DeviceMap:
        this.mirror(a)?.set(b, { page: c, write: (d & 1) !== 0, atomic: (d & 2) !== 0 });
        break;
      case Event.DeviceUnmap: {
        const table = this.mirror(a);
        for (const vpn of table?.keys() ?? []) if (vpn >= b && vpn < c) table!.delete(vpn);
        break;
      }
      case Event.MirrorFree:
        this.mirror(a)?.clear();
        break;
       
      default:
    }
  }

  wrote(node: number): boolean {
    return this.written.size > 0 && node >= 0 && (node + 1) * PTRS_PER_TABLE * 2 <= this.words.length;
  }

  /** Takes over from later tables where those that were written to hang. */
  link(later: Uint32Array): void {
    for (let entry = 0; entry * 2 + 1 < later.length; entry++) {
      if (later[entry * 2 + 1] !== PTE.V) continue;
      const child = later[entry * 2]!;
      const unknown = entry * 2 + 1 >= this.words.length || this.words[entry * 2 + 1] === 0;
      if (unknown && this.leadsToWritten(later, child, 0) && this.reach(Math.floor(entry / PTRS_PER_TABLE))) this.set(entry, PTE.V, child);
    }
  }

  private leadsToWritten(later: Uint32Array, node: number, depth: number): boolean {
    if (this.written.has(node)) return true;
    if (depth > 1) return false;
    for (let entry = node * PTRS_PER_TABLE; entry < (node + 1) * PTRS_PER_TABLE && entry * 2 + 1 < later.length; entry++) {
      if (later[entry * 2 + 1] === PTE.V && this.leadsToWritten(later, later[entry * 2]!, depth + 1)) return true;
    }
    return false;
  }

  private set(entry: number, flags: number, pfn: number): void {
    this.words[entry * 2] = pfn;
    this.words[entry * 2 + 1] = flags;
    this.written.add(Math.floor(entry / PTRS_PER_TABLE));
  }

  private reach(node: number): boolean {
    if (!(node >= 0 && node < NODES_MAX)) return false;
    const size = (node + 1) * PTRS_PER_TABLE * 2;
    if (size > this.words.length) {
      const grown = new Uint32Array(Math.max(size, this.words.length * 2));
      grown.set(this.words);
      this.words = grown;
    }
    return true;
  }

  private mirror(notifier: number): Map<number, DevicePage> | undefined {
    return this.mirrors.find((mirror) => mirror.notifier === notifier)?.table;
  }
}

/** The entry that decides over a page and its level; null where a table is missing. */
export function find(words: Uint32Array, root: number, vpn: number): { readonly entry: number; readonly level: number; readonly flags: number; readonly pfn: number } | null {
  let node = root;
  for (let level = 2; level >= 0; level--) {
    const entry = node * PTRS_PER_TABLE + ((vpn >>> (9 * level)) & 511);
    const flags = words[entry * 2 + 1] ?? 0;
    const pfn = words[entry * 2] ?? 0;
    if (level > 0 && flags === PTE.V) node = pfn;
    else if (level > 0 && flags === 0) return null;
    else return { entry, level, flags, pfn: level === 0 ? pfn : pfn + (vpn & ((1 << (9 * level)) - 1)) };
  }
  return null;
}
