import { Event, PTE, VM } from "@faultline/kernel";
import type { Keyframe } from "@faultline/trace";
import type { HistoryKind, HistoryRow } from "../core/folio_protocol.js";
import { Kind, KINDS } from "../core/kinds.js";
import { pageOf } from "./entries.js";
import type { Inside } from "./inside.js";
import { everyEntry, tablesOf, type TableOf } from "./page_tables.js";
import { columnsOf, folioOf } from "./page_use.js";
import { numbersOf } from "./state.js";

/** Rows that are kept. */
const ROWS_MAX = 1 << 16;
/** Entries that name no page, and of which is remembered what they say. */
const ENTRIES_MAX = 1 << 20;

type Args = readonly number[];

/** What an entry said before. */
interface Before {
  readonly kind: Kind;
  readonly flags: number;
  readonly pfn: number;
}

/** An entry of the folio that was cleared, and by whom: what he writes there next belongs to it. */
interface Cleared {
  readonly task: number;
  readonly turn: number;
  readonly kind: Kind;
}

/**
 * Everything that events say of one page and of the folios that it was a part of, as they are looked through in
 * order, once. Pages are numbers of the memmap; entries of page tables have pfns, which is not the same.
 *
 * Which pages a folio has is known from its allocation, or from the keyframe where that was before. A split has no
 * event, but what later names a page behind the first one as a folio shows that there was one.
 */
export class History {
  readonly rows: HistoryRow[] = [];
  scanned = 0;
  life = 0;
  /** The step behind which no more was kept. */
  cutAt: number | null = null;
  private readonly page: number;
  private readonly memory: Keyframe["memory"];
  /** The pages of its folio, [first, end). */
  private first: number;
  private end: number;
  /** Entries that name it, and those that name nothing in memory, or somebody else in passing. */
  private readonly naming = new Map<number, Before>();
  private readonly elsewhere = new Map<number, Before>();
  private readonly cleared = new Map<number, Cleared>();
  /** Grows whenever a task enters or leaves the kernel. */
  private readonly turns = new Map<number, number>();
  /** Translations of devices, by notifier and page. */
  private readonly devices = new Map<string, { readonly notifier: number; readonly vpn: number }>();
  private readonly tables: Map<number, TableOf>;

  /** @throws Refusal where the trace has no keyframes */
  constructor(
    private readonly inside: Inside,
    readonly pfn: number,
    page: number,
    private readonly where: (executor: number, task: number) => { readonly where: string; readonly task: string },
  ) {
    this.page = page;
    const { keyframe, words, mms, mirrors } = inside.stateAt(0);
    this.memory = keyframe.memory;
    this.tables = this.knownTables();
    const columns = columnsOf(keyframe);
    const { first, order } = folioOf(columns, page);
    [this.first, this.end] = [first, first + 2 ** order];
    // Events that happened ahead of the first one are in its keyframe, the first one perhaps too: it is told again.
    const initial = numbersOf(keyframe.tables.get("pageTables"), Uint32Array);
    for (const mm of mms) everyEntry(initial.length > 0 ? initial : words, mm.pgd, (ptep, _level, _vpn, flags, pfn) => this.remember(ptep, this.read(flags, pfn)));
    for (const { notifier, table } of mirrors) for (const [vpn, { page: own }] of table) if (this.has(own)) this.devices.set(`${notifier} ${vpn}`, { notifier, vpn });
  }

  get done(): boolean {
    return this.scanned >= this.inside.events || this.cutAt !== null;
  }

  /** Looks through up to so many more events. */
  scan(events: number): void {
    if (this.done) return;
    const to = Math.min(this.inside.events, this.scanned + events);
    this.inside.read(this.scanned, to, (step, time, executor, task, event, args) => this.event(step, time, executor, task, event, args));
    this.scanned = to;
  }

  /** The row ahead of or behind a step; null for none so far. */
  next(from: number, forward: boolean): number | null {
    const i = this.firstBehind(forward ? from : from - 1);
    return (forward ? this.rows[i] : this.rows[i - 1])?.step ?? null;
  }

  /** The index of the first row whose step is behind another. */
  firstBehind(step: number): number {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle]!.step <= step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private has(page: number): boolean {
    return page >= this.first && page < this.end;
  }

  private event(step: number, time: number, executor: number, task: number, event: Event, args: Args): void {
    const [a, b, c, d] = [args[0]!, args[1]!, args[2]!, args[3]!];
    const add = (kind: HistoryKind, text: string, vpn: HistoryRow["page"] = null, pfn: number | null = null): void => {
      if (this.rows.length >= ROWS_MAX) this.cutAt ??= step;
      else this.rows.push({ step, time, ...this.where(executor, task), kind, text, life: this.life, page: vpn, pfn });
    };
    switch (event) {
      case Event.MmPageAlloc:
        if (this.page < a || this.page >= a + 2 ** b) return;
        this.life++;
        [this.first, this.end] = [a, a + 2 ** b];
        this.naming.clear();
        add("alloc", b === 0 ? "allocated" : `allocated as ${this.partOf(this.page)} of a block of order ${b}`);
        return;
      case Event.MmPageFree:
        if (this.page >= a && this.page < a + 2 ** b) add("free", b === 0 ? "freed" : `freed, as ${this.page - a === 0 ? "the first page" : `page ${this.page - a}`} of a block of order ${b}`);
        else if (this.has(a)) {
          this.split(a);
          add("free", `page ${a - this.first} of what was one folio is freed`);
        }
        return;
      case Event.SetPte:
        this.entry(step, task, a, b, c, d, add);
        return;
      case Event.FolioLock:
        if (!this.has(a)) return;
        this.split(a);
        if (this.has(a)) add("lock", b !== 0 ? "unlocked" : c !== 0 ? "locked" : "its lock is wanted, and taken by somebody else");
        return;
      case Event.MmLruInsertion:
        if (this.folioIs(a)) add("lru", `put on LRU list ${LISTS[b] ?? b}`);
        return;
      case Event.MmLruActivate:
        if (this.folioIs(a)) add("lru", "moves to the active list");
        return;
      case Event.MmVmscanWriteFolio:
        if (this.folioIs(a)) add("swap", "reclaim writes it to swap");
        return;
      case Event.MakeDeviceExclusive:
        if (this.has(c)) add("exclusive", `made device-exclusive at ${hex(b)} of mm ${a}${this.partText(c)}`, { mm: a, vpn: b });
        return;
      case Event.DeviceMap:
        if (!this.has(c)) {
          // Something else is there now.
          this.devices.delete(`${a} ${b}`);
          return;
        }
        this.devices.set(`${a} ${b}`, { notifier: a, vpn: b });
        add("device", `${this.deviceName(a)} maps it at ${hex(b)}: ${(d & 2) !== 0 ? "atomic" : (d & 1) !== 0 ? "read, write" : "read"}${this.partText(c)}`, this.mirrored(a, b));
        return;
      case Event.DeviceUnmap:
        for (const [key, { notifier, vpn }] of this.devices) {
          if (notifier !== a || vpn < b || vpn >= c) continue;
          this.devices.delete(key);
          add("device", `${this.deviceName(a)} drops its translation at ${hex(vpn)}`, this.mirrored(a, vpn));
        }
        return;
      case Event.MirrorFree:
        for (const [key, { notifier, vpn }] of this.devices) {
          if (notifier !== a) continue;
          this.devices.delete(key);
          add("device", `${this.deviceName(a)}'s mirror, which had it at ${hex(vpn)}, is no more`);
        }
        return;
      case Event.DeviceAccess:
        if (this.has(c)) add("access", `a device ${d !== 0 ? "writes" : "reads"} it at ${hex(b)}${this.partText(c)}`);
        return;
      case Event.UserAccess:
        if (this.has(c)) add("access", `the kernel ${d !== 0 ? "writes to" : "reads"} it at ${hex(b)} for a process${this.partText(c)}`);
        return;
      case Event.SysEnter:
      case Event.SysExit:
      case Event.PageFaultUser:
        this.turns.set(task, (this.turns.get(task) ?? 0) + 1);
        return;
       
      default:
    }
  }

  private entry(_step: number, task: number, ptep: number, flags: number, pfn: number, vpn: number, add: (kind: HistoryKind, text: string, at?: HistoryRow["page"], pfn?: number | null) => void): void {
    const now = this.read(flags, pfn);
    const before = this.naming.get(ptep);
    const other = this.elsewhere.get(ptep);
    const cleared = this.cleared.get(ptep);
    const names = this.names(now, this.tables.get(Math.floor(ptep / 512))?.level ?? 0);
    this.remember(ptep, now);
    const table = this.tables.get(Math.floor(ptep / 512));
    const at = { mm: table?.mm ?? 0, vpn };
    const place = `at ${hex(vpn)}${table === undefined ? "" : ` of mm ${table.mm}`}`;
    const page = table === undefined ? null : at;
    this.cleared.delete(ptep);
    if (names) {
      const part = this.partText(pageOf(this.memory, pfn));
      const what = this.inside.entries.words(now.kind, flags, pfn);
      if (before !== undefined) {
        if (before.kind === now.kind && before.flags === flags && before.pfn === pfn) return;
        if (before.kind === now.kind) add("map", `${KINDS[now.kind].name} entry ${place} changes its bits${part}`, page);
        else add(...this.turnsInto(before.kind, now.kind, place, part), page);
      } else if (cleared !== undefined && this.sameTurn(cleared, task)) add(...this.turnsInto(cleared.kind, now.kind, place, part), page);
      else if (other?.kind === Kind.Swap) add("swap", `swapped in from slot ${other.pfn}: ${KINDS[now.kind].name} entry ${place}${part}`, page);
      else if (other !== undefined && other.kind === Kind.Migration) add("migrate", `migrated here from pfn ${hexNumber(other.pfn)}: ${KINDS[now.kind].name} entry ${place}${part}`, page, other.pfn);
      else if (other !== undefined && other.kind === Kind.DevicePrivate) add("migrate", `comes in place of device-private pfn ${hexNumber(other.pfn)} ${place}${part}`, page, other.pfn);
      else add("map", `${KINDS[now.kind].name} entry ${place}: ${what}${part}`, page);
      return;
    }
    const gone = before ?? (cleared !== undefined && this.sameTurn(cleared, task) ? cleared : undefined);
    if (gone === undefined) return;
    const namesAnother = this.inside.entries.namesPage(now.kind);
    if (now.kind === Kind.None) {
      add("unmap", `${KINDS[gone.kind].name} entry ${place} is cleared`, page);
      this.cleared.set(ptep, { task, turn: this.turns.get(task) ?? 0, kind: gone.kind });
    } else if (now.kind === Kind.Swap) add("swap", `goes to swap slot ${now.pfn}: swap entry ${place}`, page);
    else if (namesAnother && gone.kind === Kind.Migration) add("migrate", `has migrated to pfn ${hexNumber(now.pfn)}: ${KINDS[now.kind].name} entry ${place}`, page, now.pfn);
    else if (namesAnother) add("unmap", `pfn ${hexNumber(now.pfn)} comes in its place ${place}: ${KINDS[now.kind].name} entry`, page, now.pfn);
    else add("unmap", `${KINDS[now.kind].name} comes in its place ${place}`, page);
  }

  private turnsInto(from: Kind, to: Kind, place: string, part: string): [HistoryKind, string] {
    const kind = to === Kind.Migration || from === Kind.Migration ? "migrate" : to === Kind.DeviceExclusive || from === Kind.DeviceExclusive ? "exclusive" : "map";
    return [kind, `${KINDS[from].name} entry ${place} becomes ${KINDS[to].name}${part}`];
  }

  private read(flags: number, pfn: number): Before {
    return { kind: this.inside.entries.kind(flags, pfn, pageOf(this.memory, pfn), RIGHTS, this.memory), flags, pfn };
  }

  private names({ kind, pfn, flags }: Before, level: number): boolean {
    if (!this.inside.entries.namesPage(kind) || flags === PTE.V) return false;
    const named = pageOf(this.memory, pfn);
    return named >= 0 && named < this.end && named + (level === 0 ? 1 : 512 ** level) > this.first;
  }

  private remember(ptep: number, now: Before): void {
    this.naming.delete(ptep);
    this.elsewhere.delete(ptep);
    if (now.kind === Kind.None) return;
    const level = this.tables.get(Math.floor(ptep / 512))?.level ?? 0;
    if (this.names(now, level)) this.naming.set(ptep, now);
    else if ((now.flags & PTE.SWAP) !== 0 && this.elsewhere.size < ENTRIES_MAX) this.elsewhere.set(ptep, now);
  }

  /** What names a page as a folio shows where folios begin. */
  private split(folio: number): void {
    if (!this.has(folio) || folio === this.first) return;
    if (folio > this.page) this.end = folio;
    else this.first = folio;
  }

  private folioIs(folio: number): boolean {
    this.split(folio);
    return this.has(folio);
  }

  private sameTurn({ task, turn }: Cleared, now: number): boolean {
    return task === now && turn === (this.turns.get(now) ?? 0);
  }

  private partOf(page: number): string {
    return page === this.first ? "the first page" : `page ${page - this.first}`;
  }

  private partText(page: number): string {
    return this.end - this.first === 1 || page < 0 ? "" : ` (page ${Math.max(0, page - this.first)} of ${this.end - this.first})`;
  }

  private deviceName(notifier: number): string {
    for (const keyframe of this.someKeyframes()) {
      const found = keyframe.mirrors.find((mirror) => mirror.notifier === notifier);
      if (found !== undefined) return found.name;
    }
    return `a device (mirror ${notifier})`;
  }

  private mirrored(notifier: number, vpn: number): HistoryRow["page"] {
    for (const keyframe of this.someKeyframes()) {
      const found = keyframe.mirrors.find((mirror) => mirror.notifier === notifier);
      if (found !== undefined) return { mm: found.mm, vpn };
    }
    return null;
  }

  private readonly looked: Keyframe[] = [];

  /** Up to so many keyframes, far apart: what is in none of them is not named. */
  private someKeyframes(): readonly Keyframe[] {
    if (this.looked.length > 0) return this.looked;
    const { trace } = this.inside;
    const n = trace.keyframes.length;
    for (const i of new Set(Array.from({ length: KEYFRAMES }, (_, k) => Math.floor((k * (n - 1)) / (KEYFRAMES - 1))))) {
      const keyframe = trace.keyframe(i);
      if (typeof keyframe !== "string") this.looked.push(keyframe);
    }
    return this.looked;
  }

  /** Tables that belong to one address space wherever they are seen. */
  private knownTables(): Map<number, TableOf> {
    const known = new Map<number, TableOf>();
    const twice = new Set<number>();
    for (const keyframe of this.someKeyframes()) {
      for (const [node, table] of tablesOf(numbersOf(keyframe.tables.get("pageTables"), Uint32Array), keyframe.mms)) {
        const before = known.get(node);
        if (before === undefined) known.set(node, table);
        else if (before.mm !== table.mm || before.level !== table.level) twice.add(node);
      }
    }
    for (const node of twice) known.delete(node);
    return known;
  }
}

const KEYFRAMES = 24;
/** Entries are read as of a VMA that grants something: of one that grants nothing they have other kinds. */
const RIGHTS = VM.READ | VM.WRITE | VM.EXEC;
const LISTS = ["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"] as const;

function hex(vpn: number): string {
  return `0x${(vpn * 4096).toString(16)}`;
}

function hexNumber(pfn: number): string {
  return `0x${pfn.toString(16)}`;
}

