import { GUP_PIN_COUNTING_BIAS, Lru, MAPPING_ANON, PG } from "@faultline/kernel";
import { NameKind } from "@faultline/trace";
import type { FolioView, HolderView } from "../core/folio_protocol.js";
import { address, hex } from "../core/format.js";
import { Kind, KINDS } from "../core/kinds.js";
import { PageUse } from "../core/page_use.js";
import { pageOf, placeOf } from "./entries.js";
import type { Inside } from "./inside.js";
import { everyEntry } from "./page_tables.js";
import { columnsOf, folioOf, pinsOf, usesOf, type Columns } from "./page_use.js";
import type { State } from "./state.js";

/** Holders of one answer at most: a page of a library can be mapped by very many. */
const HOLDERS_MAX = 512;

/** What is known of the folio that a pfn is of. Null where there is no memory, or the keyframe does not reach so far. */
export function folioAt({ entries, stateAt, names }: Inside, step: number, pfn: number): FolioView | null {
  const state = stateAt(step);
  const { keyframe } = state;
  const { memory, physical } = keyframe;
  const page = pageOf(memory, pfn);
  const columns = columnsOf(keyframe);
  if (page < 0 || page >= columns.flags.length) return null;
  const { first, order } = folioOf(columns, page);
  const pages = 2 ** order;
  const flags = columns.flags[first]!;
  const mapping = columns.mapping[first]!;
  const refcount = columns.refcount[first]!;
  const use = usesOf(keyframe).uses[page]! as PageUse;
  const free = use === PageUse.Free || use === PageUse.PerCpu || use === PageUse.Offline;
  const holders: HolderView[] = free ? [] : [...mappings(state, entries, first, pages), ...others(state, columns, first, pages, names)];
  const large = order > 0;
  const knownPins = physical === null ? null : (pinsOf(keyframe).get(first) ?? 0);
  const pins = large ? knownPins : free || (flags & PG.reserved) !== 0 ? 0 : Math.floor(Math.max(0, refcount) / GUP_PIN_COUNTING_BIAS);
  if (physical?.holds === null || physical === null) holders.push(...anonymousPins(large, pins ?? 0));
  const entireMapcount = large ? Math.max(0, columns.private[first + 1] ?? 0) : 0;
  let mapcount = entireMapcount;
  for (let i = first; i < first + pages; i++) mapcount += columns.mapcount[i] ?? 0;
  const flagged = free ? 0 : refcount - holders.reduce((sum, { references }) => sum + references, 0);
  return {
    step,
    basis: state.basis,
    pfn,
    first: placeOf(memory, first)?.pfn ?? pfn,
    part: page - first,
    order,
    use,
    where: whereOf(state, page),
    refcount,
    mapcount,
    entireMapcount,
    pins,
    flags: flagNames(flags & ~PG.anonExclusive),
    pageFlags: flagNames(columns.flags[page]! & (PG.anonExclusive | PG.hwpoison)),
    lru: lruOf(flags),
    memcg: memcgOf(state, columns.memcg[first]!),
    mapping: mapping === 0 ? "none" : (mapping & MAPPING_ANON) !== 0 ? `anon_vma ${mapping >> 1}` : `file ${mapping >> 1}`,
    index: mapping === 0 ? null : columns.index[first]!,
    holders: holders.slice(0, HOLDERS_MAX),
    others: flagged,
    missing: missingOf(state, large),
  };
}

function flagNames(flags: number): string[] {
  return Object.entries(PG).flatMap(([name, bit]) => (typeof bit === "number" && (flags & bit) !== 0 ? [name] : []));
}

/** As folio_lru_list() chooses. */
function lruOf(flags: number): string {
  if ((flags & PG.lru) === 0) return "none";
  if ((flags & PG.unevictable) !== 0) return Lru[Lru.unevictable];
  const active = (flags & PG.active) !== 0;
  return Lru[(flags & PG.swapbacked) === 0 ? (active ? Lru.activeFile : Lru.inactiveFile) : active ? Lru.activeAnon : Lru.inactiveAnon];
}

function memcgOf({ keyframe: { physical } }: State, id: number): string {
  if (id === 0) return "charged to none";
  return physical?.memcgs.find((memcg) => memcg.id === id)?.path ?? `cgroup ${id}`;
}

/** "RAM, node 0, zone DMA32, memory16 (online)". */
export function whereOf({ keyframe: { memory, physical } }: State, page: number): string {
  const kind = placeOf(memory, page)?.kind;
  const within = <T extends { readonly page: number; readonly pages: number }>(list: readonly T[] | undefined): T | undefined => list?.find((one) => page >= one.page && page < one.page + one.pages);
  if (kind === "ram") {
    const block = within(physical?.blocks);
    if (block === undefined) return "RAM";
    return `RAM, node ${block.node}${block.zone === "" ? "" : `, zone ${block.zone}`}, memory${block.id} (${block.state})`;
  }
  const map = within(physical?.pagemaps);
  return `device-${kind} memory${map === undefined ? "" : map.owner === "" ? " of a pagemap without a name" : ` of ${map.owner}`}`;
}

/** Entries of all address spaces, and translations of devices, that name a page of a folio. */
function* mappings(state: State, entries: Inside["entries"], first: number, pages: number): Generator<HolderView> {
  const { memory } = state.keyframe;
  const pfn = placeOf(memory, first)?.pfn ?? -1;
  const found: HolderView[] = [];
  for (const mm of state.mms) {
    if (mm.pgd < 0 || found.length >= HOLDERS_MAX) continue;
    everyEntry(state.words, mm.pgd, (_entry, level, vpn, flags, named) => {
      const reach = level === 0 ? 1 : 512 ** level;
      if (named + reach <= pfn || named >= pfn + pages || found.length >= HOLDERS_MAX) return;
      const vma = mm.vmas.find(({ start, end }) => vpn >= start && vpn < end);
      const kind = entries.kind(flags, named, pageOf(memory, named), vma?.flags ?? 0, memory);
      if (!entries.namesPage(kind)) return;
      const inside = Math.max(0, pfn - named);
      const part = named - pfn;
      const what = pages > 1 && level === 0 ? `, page ${part}` : level > 0 ? ", 2 MiB" : "";
      found.push({
        who: `${KINDS[kind].name} entry of mm ${mm.id} at ${address(vpn + inside)}${what}`,
        doc: `kind-${kind}`,
        // A migration entry has none: it lives only as long as the folio is locked.
        references: kind === Kind.Migration || kind === Kind.Zero ? 0 : 1,
        page: { mm: mm.id, vpn: vpn + inside },
        pfn: null,
      });
    });
  }
  yield* found;
  for (const { table, name, mm } of state.mirrors) {
    for (const [vpn, own] of table) {
      if (own.page < first || own.page >= first + pages) continue;
      const rights = own.atomic ? "atomic" : own.write ? "read, write" : "read";
      yield { who: `${name} maps it for mm ${mm} at ${address(vpn)}: ${rights}`, doc: "device", references: 0, page: { mm, vpn }, pfn: null };
    }
  }
}

/** Caches, batches, whoever has it in a variable, memory of devices behind it. */
function* others(state: State, columns: Columns, first: number, pages: number, names: Inside["names"]): Generator<HolderView> {
  const { keyframe } = state;
  const { physical, memory } = keyframe;
  const flags = columns.flags[first]!;
  const own = columns.private[first]!;
  const mapping = columns.mapping[first]!;
  const plain = { page: null, pfn: null } as const;
  if ((flags & PG.swapcache) !== 0) yield { who: `swap cache, slot ${own}${pages > 1 ? ` to ${own + pages - 1}` : ""}`, doc: "swapcache", references: pages, ...plain };
  if (mapping > 1 && (mapping & MAPPING_ANON) === 0) yield { who: `page cache of file ${mapping >> 1}, index ${columns.index[first]}`, doc: "pagecache", references: pages, ...plain };
  if ((flags & PG.table) !== 0) yield { who: "an address space whose page table it is", doc: "table", references: 1, ...plain };
  if ((flags & PG.reserved) !== 0) yield { who: "reserved for good", doc: "reserved", references: 1, ...plain };
  if ((flags & PG.hwpoison) !== 0) yield { who: "kept away from everybody, since it is broken", doc: "hwpoison", references: 1, ...plain };
  for (const { cpu, kind, folios } of physical?.batches ?? []) {
    const references = folios.filter((folio) => folio === first).length;
    if (references > 0) yield { who: `CPU ${cpu}'s ${kind} batch`, doc: "batch", references, ...plain };
  }
  for (const { task, site, hold, folio } of physical?.holds ?? []) {
    if (folio !== first) continue;
    const who = task === 0 ? "an open file" : `${names.get(NameKind.Task, task) ?? "task"}[${task}]`;
    const small = pages === 1 && hold !== "reference";
    yield { who: `${who}: ${hold}, taken in ${site}`, doc: hold === "reference" ? "inflight" : "pin", references: small ? GUP_PIN_COUNTING_BIAS : 1, ...plain };
  }
  // A test device keeps the contents of its private memory in a frame, and both name each other.
  const backs = placeOf(memory, own);
  if ((flags & (PG.swapcache | PG.buddy | PG.hugetlb)) === 0 && backs?.kind === "private" && own < columns.private.length && columns.private[own] === first) {
    yield { who: `has the contents of the device's page ${hex(backs.pfn)}`, doc: "backing", references: 1, page: null, pfn: backs.pfn };
  }
}

/** Pins of whom nobody keeps account. */
function anonymousPins(large: boolean, pins: number): HolderView[] {
  if (pins === 0) return [];
  const who = pins === 1 ? "a pin (FOLL_PIN)" : `${pins} pins (FOLL_PIN)`;
  return [{ who, doc: "pin", references: large ? pins : pins * GUP_PIN_COUNTING_BIAS, page: null, pfn: null }];
}

function missingOf({ keyframe: { physical } }: State, large: boolean): readonly string[] {
  if (physical === null) return [`zones, batches${large ? ", pins" : ""} and cgroups: an earlier version of Faultline recorded this`];
  return physical.holds === null ? ["who has references in variables is known in executions of scenarios only"] : [];
}
