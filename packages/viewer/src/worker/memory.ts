import { PG } from "@faultline/kernel";
import type { SectionState } from "@faultline/trace";
import type { FolioRequests, MemoryView, RegionView, ZoneView } from "../core/folio_protocol.js";
import { PageUse, SlotUse, USES } from "../core/page_use.js";
import type { Inside } from "./inside.js";
import { everyEntry } from "./page_tables.js";
import { columnsOf, slotsOf, usesOf } from "./page_use.js";
import { numbersOf, type State } from "./state.js";
import { Kind } from "../core/kinds.js";
import { pageOf, placeOf } from "./entries.js";

/** Memory blocks and pagemaps of one answer at most. */
const REGIONS_MAX = 4096;

/** All physical memory and the swap device, page by page. */
export function memoryAt({ stateAt }: Inside, step: number, known: number | null): MemoryView | null {
  const state = stateAt(step);
  if (state.basis.keyframe === known) return null;
  const { keyframe } = state;
  const pages = usesOf(keyframe);
  const slots = slotsOf(keyframe);
  const uses = new Uint8Array(pages.uses.length + slots.length);
  const marks = new Uint8Array(uses.length);
  uses.set(pages.uses);
  uses.set(slots, pages.uses.length);
  marks.set(pages.marks);
  return {
    keyframe: state.basis.keyframe,
    regions: [...regionsOf(state, pages.uses), ...swapRegion(pages.uses.length, slots)].slice(0, REGIONS_MAX),
    zones: zonesOf(state),
    uses,
    marks,
    missing: keyframe.physical === null ? ["zones, memory blocks and owners of device memory: an earlier version of Faultline recorded this"] : [],
  };
}

function* regionsOf({ keyframe: { memory, physical } }: State, uses: Uint8Array): Generator<RegionView> {
  const region = (section: SectionState, name: string, from: number, pages: number, detail: string): RegionView[] => {
    const first = Math.max(from, section.page);
    const count = Math.min(from + pages, section.page + section.pages, uses.length) - first;
    return count <= 0 ? [] : [{ name, detail, first, count, pfn: section.pfn + (first - section.page), swap: false }];
  };
  for (const section of memory.sections) {
    if (section.kind === "ram") {
      if (physical === null) yield* region(section, "RAM", section.page, section.pages, "");
      for (const { id, page, pages, state, zone, node } of physical?.blocks ?? []) yield* region(section, `memory${id}`, page, pages, `node ${node}${zone === "" ? "" : `, ${zone}`}, ${state}`);
      continue;
    }
    const maps = physical?.pagemaps.filter(({ kind }) => kind === section.kind);
    if (maps === undefined) yield* region(section, `device-${section.kind}`, section.page, section.pages, "");
    for (const { owner, page, pages, used } of maps ?? []) yield* region(section, `device-${section.kind}`, page, pages, `${owner === "" ? "of a pagemap without a name" : `of ${owner}`}, ${used} of ${pages} pages used`);
  }
}

function swapRegion(first: number, slots: Uint8Array): RegionView[] {
  if (slots.length === 0) return [];
  const used = slots.reduce((sum, use) => sum + (use === SlotUse.Free || use === SlotUse.Header ? 0 : 1), 0);
  return [{ name: "swap", detail: `${used} of ${slots.length - 1} slots used`, first, count: slots.length, pfn: 0, swap: true }];
}

function zonesOf({ keyframe: { physical } }: State): ZoneView[] {
  return (physical?.zones ?? []).map(({ node, name, managed, free, pcp, min, low, high }) => ({ name: `node ${node} ${name}`, managed, free, pcp, min, low, high }));
}

/** What a slot of the swap device holds, and where to look further. */
export function slotAt({ stateAt, entries }: Inside, step: number, slot: number): FolioRequests["slot"]["answer"] {
  const state = stateAt(step);
  const { keyframe } = state;
  const { memory } = keyframe;
  const use = slotsOf(keyframe)[slot];
  if (use === undefined) return { words: "there is no such slot", page: null, pfn: null };
  const words: string[] = [USES[use as SlotUse].name];
  let page: { readonly mm: number; readonly vpn: number } | null = null;
  let named = 0;
  for (const mm of state.mms) {
    if (mm.pgd < 0) continue;
    everyEntry(state.words, mm.pgd, (_entry, level, vpn, flags, pfn) => {
      if (level !== 0 || pfn !== slot || entries.kind(flags, pfn, pageOf(memory, pfn), 0, memory) !== Kind.Swap) return;
      page ??= { mm: mm.id, vpn };
      if (named++ < 3) words.push(`entry of mm ${mm.id} at 0x${(vpn * 4096).toString(16)}`);
    });
  }
  if (named > 3) words.push(`and ${named - 3} more`);
  const files = numbersOf(keyframe.tables.get("swap.files"), Uint32Array);
  for (let i = 0; i + 2 < files.length; i += 3) if (files[i] === slot) words.push(`file ${files[i + 1]}, index ${files[i + 2]}`);
  const { flags, private: own, order } = columnsOf(keyframe);
  let pfn: number | null = null;
  for (let at = 0; use === SlotUse.Cached && at < flags.length && pfn === null; at++) {
    if (usesOf(keyframe).uses[at] !== PageUse.Anon && usesOf(keyframe).uses[at] !== PageUse.Shmem) continue;
    if ((flags[at]! & PG.swapcache) !== 0 && slot >= own[at]! && slot < own[at]! + 2 ** Math.min(order[at]!, 18)) pfn = placeOf(memory, at + (slot - own[at]!))?.pfn ?? null;
  }
  if (pfn !== null) words.push(`swap cache: pfn 0x${pfn.toString(16)}`);
  const count = keyframe.tables.get("swap.count")?.[slot] ?? 0;
  const memcg = numbersOf(keyframe.tables.get("swap.memcg"), Uint16Array)[slot] ?? 0;
  if (count > 0) words.push(`count ${count}`);
  if (memcg !== 0) words.push(`charged to ${keyframe.physical?.memcgs.find(({ id }) => id === memcg)?.path ?? `cgroup ${memcg}`}`);
  return { words: words.join(", "), page, pfn };
}
