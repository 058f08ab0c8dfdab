import { PM } from "@faultline/kernel";
import Table from "cli-table3";
import { KINDS, pagesOf, type Operation } from "./operations.js";
import type { Outcome, Run, View } from "./output.js";

/** What an operation can meet in the pages that it is about. */
const MET = ["no mapping", "no page", "own page", "shared or zero", "file", "swap", "guard", "uffd marker", "uffd protected", "uffd", "huge", "hugetlb", "stack", "locked", "lazyfree"] as const;
type Met = (typeof MET)[number];

/** What the flags of a mapping say of all that it has. */
const FLAGS: readonly (readonly [string, Met])[] = [["lo", "locked"], ["ht", "hugetlb"], ["gd", "stack"]];

/** Of the bits of pagemap's entries, which are in the upper word, a run has those from bit 55 on. */
const RUN_SHIFT = 55 - 32;

/** How often each operation has met each kind of entry. */
export type Coverage = Readonly<Record<string, number>>;

function overlaps(place: { readonly page: number; readonly pages: number }, page: number, pages: number): boolean {
  return place.page < page + pages && page < place.page + place.pages;
}

function metBy({ page, pages }: { readonly page: number; readonly pages: number }, view: View): Set<Met> {
  const met = new Set<Met>();
  let mapped = 0;
  for (const { place, fields } of view.mappings) {
    const [, first, count] = /^(\d+)\+(\d+)/.exec(place)!;
    const here = { page: Number(first), pages: Number(count) };
    if (!overlaps(here, page, pages)) continue;
    mapped += Math.min(here.page + here.pages, page + pages) - Math.max(here.page, page);
    if (fields["AnonHugePages"] !== undefined) met.add("huge");
    if (fields["LazyFree"] !== undefined) met.add("lazyfree");
    for (const [flag, what] of FLAGS) if (fields["VmFlags"]?.includes(`,${flag}`) === true) met.add(what);
    if (/,u[mwi]\b/.test(fields["VmFlags"] ?? "")) met.add("uffd");
  }
  if (mapped < pages) met.add("no mapping");
  for (const run of view.pagemap) if (overlaps(run, page, pages)) met.add(entryOf(run));
  return met;
}

function entryOf({ value }: Run): Met {
  const has = (flag: PM): boolean => (value & (flag >>> RUN_SHIFT)) !== 0;
  if (has(PM.GUARD_REGION)) return "guard";
  if (has(PM.UFFD_WP)) return has(PM.PRESENT) ? "uffd protected" : "uffd marker";
  if (has(PM.SWAP)) return "swap";
  if (!has(PM.PRESENT)) return "no page";
  if (has(PM.FILE)) return "file";
  return has(PM.MMAP_EXCLUSIVE) ? "own page" : "shared or zero";
}

/** What the operations of a list have met, going by how their processes looked before. */
export function coverageOf(list: readonly Operation[], outcomes: readonly Outcome[]): Coverage {
  const counts: Record<string, number> = {};
  const views: View[] = [];
  outcomes.forEach(({ process, view }, i) => {
    const op = list[i]!;
    const range = pagesOf(op);
    const before = views[process];
    if (range !== null && before !== undefined) for (const met of metBy(range, before)) counts[`${op.kind} ${met}`] = (counts[`${op.kind} ${met}`] ?? 0) + 1;
    views[process] = view;
  });
  return counts;
}

export function addCoverage(a: Coverage, b: Coverage): Coverage {
  const sum: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}

/** A row for each operation, a column for each kind of entry. */
export function coverageTable(coverage: Coverage): string {
  const met = MET.filter((one) => KINDS.some((kind) => coverage[`${kind} ${one}`] !== undefined));
  const table = new Table({ head: ["", ...met], style: { head: [], border: [], compact: true }, colAligns: ["left", ...met.map(() => "right" as const)] });
  for (const kind of KINDS) {
    const counts = met.map((one) => coverage[`${kind} ${one}`] ?? 0);
    if (counts.some((count) => count > 0)) table.push([kind, ...counts.map((count) => (count === 0 ? "" : String(count)))]);
  }
  return table.toString();
}
