import { Event, PTE, PTRS_PER_TABLE } from "@faultline/kernel";
import type { TraceConsumer } from "@faultline/trace";
import { wordOf, type DeviceTable } from "./device_table.js";

/** No machine has more page tables: a trace that names one behind these is not followed. */
const NODES_MAX = 1 << 20;

/** What is undone when one goes back: what stood there before an event. */
enum Undo {
  Entry,
  Translation,
  Written,
}

/** Where tables hang in the keyframe behind: an entry that leads to one, and which. */
export interface Link {
  readonly entry: number;
  readonly child: number;
}

/** The mirrors of a keyframe: by the id that events have. */
export type DeviceTables = ReadonlyMap<number, DeviceTable>;

/**
 * Page tables and devices' tables of a keyframe, with events put on top of them, and taken off again: a step
 * costs as much as it changes.
 */
export class Replayed implements TraceConsumer {
  /** Grows with each change to a table, by its node. */
  versions: Uint32Array;
  /** Since the keyframe. */
  events = 0;
  /** By node: writes since the keyframe that are still to be seen. */
  private written: Uint32Array;
  private readonly log = new Log();
  private linked: Link[] = [];
  /** Of tables of the keyframe behind. */
  private readonly children = new Map<number, number[]>();

  constructor(
    public words: Uint32Array,
    private readonly tables: DeviceTables,
    private readonly links: readonly Link[],
  ) {
    for (const { entry, child } of links) {
      const node = Math.floor(entry / PTRS_PER_TABLE);
      const children = this.children.get(node);
      if (children === undefined) this.children.set(node, [child]);
      else children.push(child);
    }
    const nodes = Math.ceil(words.length / (PTRS_PER_TABLE * 2));
    this.versions = new Uint32Array(nodes);
    this.written = new Uint32Array(nodes);
  }

  name(): void {}

  event(_time: number, _executor: number, _task: number, event: Event, a: number, b: number, c: number, d: number): void {
    this.events++;
    switch (event) {
      case Event.SetPte: {
        const node = Math.floor(a / PTRS_PER_TABLE);
        if (!this.reach(node)) break;
        this.setEntry(a, b, c);
        break;
      }
      case Event.TableFree:
        if (!this.reach(a)) break;
        for (let entry = a * PTRS_PER_TABLE; entry < (a + 1) * PTRS_PER_TABLE; entry++) if (this.words[entry * 2] !== 0 || this.words[entry * 2 + 1] !== 0) this.setEntry(entry, 0, 0);
        this.log.push(this.events, Undo.Written, a, this.written[a]!, 0);
        this.written[a] = 0;
        break;
      case Event.DeviceMap:
        this.translate(a, b, wordOf(c, d));
        break;
      case Event.DeviceUnmap:
        for (const vpn of this.tables.get(a)?.within(b, c) ?? []) this.translate(a, vpn, 0);
        break;
      case Event.MirrorFree:
        for (const vpn of this.tables.get(a)?.within(0, Infinity) ?? []) this.translate(a, vpn, 0);
        break;
       
      default:
    }
  }

  /** Takes the last events off, until so many are left. */
  back(events: number): void {
    this.events = events;
    this.log.undo(events, (kind, at, old, more) => {
      switch (kind) {
        case Undo.Entry: {
          const node = Math.floor(at / PTRS_PER_TABLE);
          this.words[at * 2] = old;
          this.words[at * 2 + 1] = more;
          this.written[node]!--;
          this.versions[node]!++;
          break;
        }
        case Undo.Translation:
          this.tables.get(at)?.put(old, more);
          break;
        case Undo.Written:
          this.written[at] = old;
          break;
      }
    });
  }

  /** Whether a table has been written to since the keyframe, or one that hangs below it in the keyframe behind. */
  wrote(node: number): boolean {
    return this.leadsToWritten(node, 0);
  }

  /** Whether `back` can leave so many. */
  reaches(events: number): boolean {
    return events >= this.log.from;
  }

  /** Hangs tables that have been written to where the keyframe behind has them: no event says where. */
  link(): void {
    for (const { entry, child } of this.links) {
      const node = Math.floor(entry / PTRS_PER_TABLE);
      const unknown = entry * 2 + 1 >= this.words.length || this.words[entry * 2 + 1] === 0;
      if (!unknown || !this.leadsToWritten(child, 0) || !this.reach(node)) continue;
      this.words[entry * 2] = child;
      this.words[entry * 2 + 1] = PTE.V;
      this.versions[node]!++;
      this.linked.push({ entry, child });
    }
  }

  /** As it was without `link`, ahead of further events. */
  unlink(): void {
    for (const { entry } of this.linked) {
      this.words[entry * 2] = 0;
      this.words[entry * 2 + 1] = 0;
      this.versions[Math.floor(entry / PTRS_PER_TABLE)]!++;
    }
    this.linked = [];
  }

  private leadsToWritten(node: number, depth: number): boolean {
    if ((this.written[node] ?? 0) > 0) return true;
    if (depth > 1) return false;
    for (const child of this.children.get(node) ?? []) if (this.leadsToWritten(child, depth + 1)) return true;
    return false;
  }

  private setEntry(entry: number, flags: number, pfn: number): void {
    this.log.push(this.events, Undo.Entry, entry, this.words[entry * 2]!, this.words[entry * 2 + 1]!);
    const node = Math.floor(entry / PTRS_PER_TABLE);
    this.words[entry * 2] = pfn;
    this.words[entry * 2 + 1] = flags;
    this.written[node]!++;
    this.versions[node]!++;
  }

  private translate(notifier: number, vpn: number, word: number): void {
    const table = this.tables.get(notifier);
    if (table === undefined || !(vpn >= 0)) return;
    this.log.push(this.events, Undo.Translation, notifier, vpn, table.word(vpn));
    table.put(vpn, word);
  }

  private reach(node: number): boolean {
    if (!(node >= 0 && node < NODES_MAX)) return false;
    const size = (node + 1) * PTRS_PER_TABLE * 2;
    if (size > this.words.length) {
      this.words = grown(this.words, Math.max(size, this.words.length * 2));
      const nodes = this.words.length / (PTRS_PER_TABLE * 2);
      this.versions = grown(this.versions, Math.ceil(nodes));
      this.written = grown(this.written, Math.ceil(nodes));
    }
    return true;
  }
}

/** Numbers of one change. */
const FIELDS = 5;
/** Changes that are remembered; a recording whose keyframes lie so far apart goes back by beginning anew. */
const CHANGES_MAX = 1 << 20;

class Log {
  /** The first number of events that one can go back to. */
  from = 0;
  private numbers = new Float64Array(FIELDS << 10);
  private length = 0;

  push(event: number, kind: Undo, at: number, old: number, more: number): void {
    if (this.length === CHANGES_MAX * FIELDS) {
      this.length = 0;
      this.from = event;
    }
    if (this.length === this.numbers.length) {
      const larger = new Float64Array(this.numbers.length * 2);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    const { numbers, length } = this;
    numbers[length] = event;
    numbers[length + 1] = kind;
    numbers[length + 2] = at;
    numbers[length + 3] = old;
    numbers[length + 4] = more;
    this.length = length + FIELDS;
  }

  /** Gives back what events behind the first so many have changed, the last first. */
  undo(events: number, each: (kind: Undo, at: number, old: number, more: number) => void): void {
    const { numbers } = this;
    while (this.length > 0 && numbers[this.length - FIELDS]! > events) {
      this.length -= FIELDS;
      each(numbers[this.length + 1]!, numbers[this.length + 2]!, numbers[this.length + 3]!, numbers[this.length + 4]!);
    }
  }
}

function grown(array: Uint32Array, length: number): Uint32Array {
  const larger = new Uint32Array(length);
  larger.set(array);
  return larger;
}
