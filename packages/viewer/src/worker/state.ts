import { PTE, PTRS_PER_TABLE } from "@faultline/kernel";
import type { Keyframe, MirrorState, MmState, TaskState, Trace } from "@faultline/trace";
import type { Basis } from "../core/protocol.js";
import { DeviceTable } from "./device_table.js";
import { Replayed, type Link } from "./replayed.js";

export type { DevicePage } from "./device_table.js";

/** A mirror, and its translations by virtual page number. */
export interface Mirror extends MirrorState {
  readonly table: DeviceTable;
}

/** The machine as it was right after one event. Good until the next one is asked for: page tables and devices' tables are moved on. */
export interface State {
  readonly step: number;
  readonly basis: Basis;
  readonly keyframe: Keyframe;
  readonly mms: readonly MmState[];
  readonly tasks: readonly TaskState[];
  readonly mirrors: readonly Mirror[];
  /** Pairs of words of each entry: see kernel/src/arch/pgtable.ts. */
  readonly words: Uint32Array;
  /** Grows with each change to a table, by its node; begins anew with each `run`. */
  readonly versions: Uint32Array;
  /** Differs where page tables were not reached by going on, or back, event by event. */
  readonly run: object;
  /** Columns of the memmap by name, as they were at the keyframe. */
  column(name: string): Int32Array | Float64Array | Uint16Array | Uint8Array;
}

/** A keyframe, and what has been put on top of it. */
interface Run {
  readonly index: number;
  readonly keyframe: Keyframe;
  /** Events ahead of it. */
  readonly events: number;
  /** The keyframe behind, or null where nothing can come of it. */
  readonly later: Keyframe | null;
  readonly mirrors: readonly Mirror[];
  readonly replayed: Replayed;
}

/** States of one trace: the keyframe before, and what page-table and device events say since. */
export class States {
  private last: State | null = null;
  private run: Run | null = null;

  /** @param first the number of the trace's first keyframe among all that a session knows */
  constructor(
    private readonly trace: Trace,
    private readonly first = 0,
  ) {}

  /** Has the platform unpack what `at` will need, where it can. */
  async prepare(step: number): Promise<void> {
    const index = this.indexOf(step);
    if (this.run?.index === index) return;
    await this.trace.prepare(index + 1);
    await this.trace.prepare(index);
  }

  /** The state after an event, or what is wrong with the trace. */
  at(step: number): State | string {
    if (this.last?.step === step) return this.last;
    const index = this.indexOf(step);
    if (index < 0) return "this trace has no keyframes: it can be read as events only";
    let run = this.run;
    // From the keyframe on is nearer than back where most of it would have to be taken off.
    const wanted = run === null ? 0 : eventsOn(run, step);
    if (run === null || run.index !== index || (wanted < run.replayed.events && (wanted * 2 < run.replayed.events || !run.replayed.reaches(wanted)))) {
      const begun = this.begin(index);
      if (typeof begun === "string") return begun;
      this.run = run = begun;
    }
    const wrong = this.move(run, step);
    if (wrong !== null) {
      this.run = this.last = null;
      return wrong;
    }
    return (this.last = stateOf(run, step, this.first));
  }

  /** The last keyframe that is not behind a step's event. */
  private indexOf(step: number): number {
    const { keyframes } = this.trace;
    let low = -1;
    let high = keyframes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (middle === 0 || keyframes[middle]!.events <= step + 1) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private begin(index: number): Run | string {
    const { trace } = this;
    const keyframe = trace.keyframe(index);
    if (typeof keyframe === "string") return keyframe;
    const behind = index + 1 < trace.keyframes.length ? trace.keyframe(index + 1) : null;
    const later = typeof behind === "string" ? null : behind;
    const mirrors = keyframe.mirrors.map((mirror): Mirror => ({ ...mirror, table: new DeviceTable(numbersOf(keyframe.tables.get(`device.${mirror.device}.mm.${mirror.mm}.${mirror.notifier}`), Uint32Array)) }));
    const words = numbersOf(keyframe.tables.get("pageTables"), Uint32Array).slice();
    const replayed = new Replayed(words, new Map(mirrors.map(({ notifier, table }) => [notifier, table])), later === null ? [] : linksOf(later));
    return { index, keyframe, events: trace.keyframes[index]!.events, later, mirrors, replayed };
  }

  /** Puts events on top, or takes them off. */
  private move(run: Run, step: number): string | null {
    const { replayed } = run;
    const wanted = eventsOn(run, step);
    replayed.unlink();
    if (wanted < replayed.events) replayed.back(wanted);
    else if (wanted > replayed.events) {
      const from = firstOf(run) + replayed.events;
      const wrong = this.trace.replayRange(from, firstOf(run) + wanted, replayed);
      if (wrong !== null) return wrong;
    }
    if (step + 1 > run.events) replayed.link();
    return null;
  }
}

/** A keyframe is taken while its last event is told, which some tell just ahead of what they do: that one is put on top as well. */
function firstOf({ events }: Run): number {
  return Math.max(0, events - 1);
}

function eventsOn(run: Run, step: number): number {
  return Math.max(0, step + 1 - firstOf(run));
}

function stateOf({ index, keyframe, events, later, mirrors, replayed }: Run, step: number, first: number): State {
  const come = step + 1 > events ? later : null;
  const columns = new Map<string, ReturnType<State["column"]>>();
  return {
    step,
    basis: { keyframe: first + index, since: Math.max(0, step + 1 - events) },
    keyframe,
    mms: [...keyframe.mms, ...(come?.mms ?? []).filter(({ id, pgd }) => pgd >= 0 && !keyframe.mms.some((mm) => mm.id === id) && replayed.wrote(pgd))],
    tasks: [...keyframe.tasks, ...(come?.tasks ?? []).filter(({ id }) => !keyframe.tasks.some((task) => task.id === id))],
    mirrors,
    words: replayed.words,
    versions: replayed.versions,
    run: replayed,
    column: (name) => {
      let column = columns.get(name);
      if (column === undefined) columns.set(name, (column = numbersOf(keyframe.tables.get(`memmap.${name}`), COLUMN_TYPES[name] ?? Int32Array)));
      return column;
    },
  };
}

/** Entries of a keyframe that lead to tables. */
function linksOf({ tables }: Keyframe): Link[] {
  const words = numbersOf(tables.get("pageTables"), Uint32Array);
  const links: Link[] = [];
  for (let entry = 0; entry * 2 + 1 < words.length; entry++) if (words[entry * 2 + 1] === PTE.V) links.push({ entry, child: words[entry * 2]! });
  return links;
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
