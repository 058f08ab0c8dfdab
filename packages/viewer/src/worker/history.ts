import { Event, PTE, PTRS_PER_TABLE, VM } from "@faultline/kernel";
import type { HistoryKind, HistoryRow } from "../core/folio_protocol.js";
import { address, hex } from "../core/format.js";
import { Kind, KINDS } from "../core/kinds.js";
import { pageOf } from "./entries.js";
import { FolioRange } from "./folio_range.js";
import type { Inside } from "./inside.js";
import { everyEntry, tablesOf, type TableOf } from "./page_tables.js";
import { numbersOf, type Mirror } from "./state.js";

/** Rows that are kept. */
const ROWS_MAX = 1 << 16;
/** Entries that name no page, and of which is remembered what they say. */
const ENTRIES_MAX = 1 << 20;

type Args = readonly number[];
type Add = (kind: HistoryKind, text: string, at?: HistoryRow["page"], pfn?: number | null) => void;

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
  readonly before: Before;
}

/**
 * Everything that events say of one page and of the folios that it was a part of, as they are looked through in
 * order, once. Pages are numbers of the memmap; entries of page tables have pfns, which is not the same. What is told of
 * another page counts while that is of the same folio (`FolioRange`).
 */
export class History {
  readonly rows: HistoryRow[] = [];
  scanned = 0;
  life = 0;
  /** The step behind which no more was kept. */
  cutAt: number | null = null;
  private readonly memory;
  private readonly range: FolioRange;
  /** Entries that may name it, and those that are not present: what comes in their place has come from there. */
  private readonly naming = new Map<number, Before>();
  private readonly elsewhere = new Map<number, Before>();
  private readonly cleared = new Map<number, Cleared>();
  /** Grows whenever a task enters or leaves the kernel. */
  private readonly turns = new Map<number, number>();
  /** Translations of devices, by notifier and page. */
  private readonly devices = new Map<string, { readonly notifier: number; readonly vpn: number; readonly page: number }>();
  private readonly tables: Map<number, TableOf>;
  private readonly mirrors: ReadonlyMap<number, Pick<Mirror, "name" | "mm">>;

  /** @throws Refusal where the trace has no keyframes */
  constructor(
    private readonly inside: Inside,
    readonly pfn: number,
    private readonly page: number,
    private readonly where: (executor: number, task: number) => { readonly where: string; readonly task: string },
  ) {
    const { keyframe, mms, mirrors } = inside.stateAt(0);
    this.memory = keyframe.memory;
    this.range = new FolioRange(inside.trace, keyframe, page);
    const known = knownThings(inside);
    this.tables = known.tables;
    this.mirrors = known.mirrors;
    const words = numbersOf(keyframe.tables.get("pageTables"), Uint32Array);
    for (const mm of mms) everyEntry(words, mm.pgd, (ptep, _level, _vpn, flags, named) => this.remember(ptep, this.read(flags, named)));
    for (const { notifier, table } of mirrors) for (const [vpn, { page: own }] of table) if (this.range.near(own)) this.devices.set(`${notifier} ${vpn}`, { notifier, vpn, page: own });
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

  /** The step of the row ahead of or behind another step; null for none so far. */
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

  private event(step: number, time: number, executor: number, task: number, event: Event, args: Args): void {
    const [a, b, c, d] = [args[0]!, args[1]!, args[2]!, args[3]!];
    const { range } = this;
    const add: Add = (kind, text, page = null, pfn = null) => {
      if (this.rows.length >= ROWS_MAX) this.cutAt ??= step;
      else this.rows.push({ step, time, ...this.where(executor, task), kind, text, life: this.life, page, pfn });
    };
    switch (event) {
      case Event.MmPageAlloc:
        if (this.page < a || this.page >= a + 2 ** b) return;
        this.life++;
        range.allocated(step, a, b);
        add("alloc", b === 0 ? "allocated" : `allocated as ${this.partOf(this.page, a)} of a block of order ${b}`);
        return;
      case Event.MmPageFree:
        if (this.page >= a && this.page < a + 2 ** b) add("free", b === 0 ? "freed" : `freed, as ${this.partOf(this.page, a)} of a block of order ${b}`);
        return;
      case Event.SetPte:
        this.entry(step, task, a, b, c, d, add);
        return;
      case Event.FolioLock:
        if (range.isFolio(a, step)) add("lock", b !== 0 ? "unlocked" : c !== 0 ? "locked" : "its lock is wanted, and somebody else has it");
        return;
      case Event.MmLruInsertion:
        if (range.isFolio(a, step)) add("lru", `put on LRU list ${LISTS[b] ?? b}`);
        return;
      case Event.MmLruActivate:
        if (range.isFolio(a, step)) add("lru", "moves to the active list");
        return;
      case Event.MmVmscanWriteFolio:
        if (range.isFolio(a, step)) add("swap", "reclaim writes it to swap");
        return;
      case Event.MakeDeviceExclusive:
        if (range.has(c, step)) add("exclusive", `made device-exclusive at ${address(b)} of mm ${a}${this.partText(c, step)}`, { mm: a, vpn: b });
        return;
      case Event.DeviceMap:
        // What was there before is replaced.
        this.devices.delete(`${a} ${b}`);
        if (!range.near(c)) return;
        this.devices.set(`${a} ${b}`, { notifier: a, vpn: b, page: c });
        if (range.has(c, step)) add("device", `${this.deviceName(a)} maps it at ${address(b)}: ${(d & 2) !== 0 ? "atomic" : (d & 1) !== 0 ? "read, write" : "read"}${this.partText(c, step)}`, this.mirrored(a, b));
        return;
      case Event.DeviceUnmap:
      case Event.MirrorFree:
        for (const [key, { notifier, vpn, page }] of this.devices) {
          if (notifier !== a || (event === Event.DeviceUnmap && (vpn < b || vpn >= c))) continue;
          this.devices.delete(key);
          if (range.has(page, step)) add("device", `${this.deviceName(a)} drops its translation at ${address(vpn)}${this.partText(page, step)}`, this.mirrored(a, vpn));
        }
        return;
      case Event.DeviceAccess:
        if (range.has(c, step)) add("access", `a device ${d !== 0 ? "writes" : "reads"} it at ${address(b)}${this.partText(c, step)}`);
        return;
      case Event.UserAccess:
        if (range.has(c, step)) add("access", `the kernel ${d === 1 ? "writes to" : "reads"} it at ${address(b)} for a process${this.partText(c, step)}`);
        return;
      case Event.SysEnter:
      case Event.SysExit:
      case Event.PageFaultUser:
        this.turns.set(task, (this.turns.get(task) ?? 0) + 1);
        return;
       
      default:
    }
  }

  private entry(step: number, task: number, ptep: number, flags: number, pfn: number, vpn: number, add: Add): void {
    const now = this.read(flags, pfn);
    const table = this.tables.get(Math.floor(ptep / PTRS_PER_TABLE));
    const level = table?.level ?? 0;
    const before = this.naming.get(ptep);
    const other = this.elsewhere.get(ptep);
    const cleared = this.cleared.get(ptep);
    this.cleared.delete(ptep);
    this.remember(ptep, now);
    const kept = cleared !== undefined && cleared.task === task && cleared.turn === (this.turns.get(task) ?? 0) ? cleared.before : undefined;
    const was = [before, kept].find((one) => one !== undefined && this.isAbout(one, level, step));
    const is = this.isAbout(now, level, step);
    if (!is && was === undefined) return;
    const page = table === undefined ? null : { mm: table.mm, vpn };
    const place = `at ${address(vpn)}${table === undefined ? "" : ` of mm ${table.mm}`}${level > 0 ? ", 2 MiB" : ""}`;
    const part = this.partText(pageOf(this.memory, (is ? now : was!).pfn), step);
    const entry = `${KINDS[now.kind].name} entry ${place}`;
    if (is && was !== undefined) {
      if (was.kind !== now.kind) add(turnOf(was.kind, now.kind), `${KINDS[was.kind].name} entry ${place} becomes ${KINDS[now.kind].name}${part}`, page);
      else if (was.flags !== flags) add("map", `${entry} changes its bits${part}`, page);
      return;
    }
    if (is) {
      const from = other === undefined ? null : other.kind === Kind.Migration || other.kind === Kind.DevicePrivate ? other.pfn : null;
      if (other?.kind === Kind.Swap) add("swap", `swapped in from slot ${other.pfn}: ${entry}${part}`, page);
      else if (from !== null) add("migrate", `has come from pfn ${hex(from)}: ${entry}${part}`, page, from);
      else add("map", `${entry} is made${part}`, page);
      return;
    }
    if (now.kind === Kind.None) {
      add("unmap", `${KINDS[was!.kind].name} entry ${place} is cleared${part}`, page);
      this.cleared.set(ptep, { task, turn: this.turns.get(task) ?? 0, before: was! });
    } else if (now.kind === Kind.Swap) add("swap", `goes to swap slot ${now.pfn}: ${entry}${part}`, page);
    else if (!this.inside.entries.namesPage(now.kind)) add("unmap", `${entry} comes in its place${part}`, page);
    else if (was!.kind === Kind.Migration) add("migrate", `has gone to pfn ${hex(now.pfn)}: ${entry}${part}`, page, now.pfn);
    else add("unmap", `pfn ${hex(now.pfn)} comes in its place: ${entry}${part}`, page, now.pfn);
  }

  private read(flags: number, pfn: number): Before {
    return { kind: this.inside.entries.kind(flags, pfn, pageOf(this.memory, pfn), RIGHTS, this.memory), flags, pfn };
  }

  /** The pages that an entry names, [first, end); empty for none. */
  private named({ kind, pfn, flags }: Before, level: number): readonly [number, number] {
    const page = this.inside.entries.namesPage(kind) && flags !== PTE.V ? pageOf(this.memory, pfn) : -1;
    return page < 0 ? [0, 0] : [page, page + (level === 0 ? 1 : PTRS_PER_TABLE ** level)];
  }

  private isAbout(entry: Before, level: number, step: number): boolean {
    const [first, end] = this.named(entry, level);
    return first < end && ((this.page >= first && this.page < end) || this.range.has(first, step));
  }

  private remember(ptep: number, now: Before): void {
    this.naming.delete(ptep);
    this.elsewhere.delete(ptep);
    if (now.kind === Kind.None) return;
    const [first, end] = this.named(now, this.tables.get(Math.floor(ptep / PTRS_PER_TABLE))?.level ?? 0);
    if (first < end && this.range.meets(first, end)) this.naming.set(ptep, now);
    if ((now.flags & PTE.SWAP) !== 0 && this.elsewhere.size < ENTRIES_MAX) this.elsewhere.set(ptep, now);
  }

  private partOf(page: number, first: number): string {
    return page === first ? "the first page" : `page ${page - first}`;
  }

  private partText(page: number, step: number): string {
    const [first, end] = this.range.at(step);
    return end - first === 1 || page < first || page >= end ? "" : ` (page ${page - first} of ${end - first})`;
  }

  private deviceName(notifier: number): string {
    return this.mirrors.get(notifier)?.name ?? `a device (mirror ${notifier})`;
  }

  private mirrored(notifier: number, vpn: number): HistoryRow["page"] {
    const mirror = this.mirrors.get(notifier);
    return mirror === undefined ? null : { mm: mirror.mm, vpn };
  }
}

/** Keyframes that are looked at for names: what is in none of them has none. */
const KEYFRAMES = 24;
/** Entries are read as of a VMA that grants something: of one that grants nothing they have other kinds. */
const RIGHTS = VM.READ | VM.WRITE | VM.EXEC;
const LISTS = ["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"] as const;

/** Tables that belong to one address space wherever they are seen, and devices' mirrors. */
function knownThings({ trace }: Inside): { readonly tables: Map<number, TableOf>; readonly mirrors: Map<number, Pick<Mirror, "name" | "mm">> } {
  const tables = new Map<number, TableOf>();
  const mirrors = new Map<number, Pick<Mirror, "name" | "mm">>();
  const twice = new Set<number>();
  const n = trace.keyframes.length;
  for (const i of new Set(Array.from({ length: KEYFRAMES }, (_, k) => Math.floor((k * (n - 1)) / (KEYFRAMES - 1))))) {
    const keyframe = trace.keyframe(i);
    if (typeof keyframe === "string") continue;
    for (const mirror of keyframe.mirrors) mirrors.set(mirror.notifier, mirror);
    for (const [node, table] of tablesOf(numbersOf(keyframe.tables.get("pageTables"), Uint32Array), keyframe.mms)) {
      const before = tables.get(node);
      if (before === undefined) tables.set(node, table);
      else if (before.mm !== table.mm || before.level !== table.level) twice.add(node);
    }
  }
  for (const node of twice) tables.delete(node);
  return { tables, mirrors };
}

function turnOf(from: Kind, to: Kind): HistoryKind {
  if (to === Kind.Migration || from === Kind.Migration) return "migrate";
  return to === Kind.DeviceExclusive || from === Kind.DeviceExclusive ? "exclusive" : "map";
}
