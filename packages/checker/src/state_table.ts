import type { EntryState, FolioState, NotifierState, PageState } from "./state.js";
import type { Violation } from "./violation.js";

const GAP = "   ";
/** Longer cells go on in the next line. */
const CELL_MAX = 44;

/** What the violation is about before and after the decisive step: a row for each thing, empty when there is none. */
export function stateTable({ state, trace }: Violation): string {
  if (state === null) return "";
  const before = rowsOf(state.before);
  const after = rowsOf(state.after);
  const names = [...new Set([...before.keys(), ...after.keys()])];
  if (names.length === 0) return "";
  const step = state.step === null ? undefined : trace[state.step];
  const when =
    step === undefined
      ? "State when the rule was broken:"
      : `State ahead of "${step.words}"${step.function === "" ? "" : ` in ${step.function}()`}, ${step.thread} (${step.executor}), and when the rule was broken:`;
  const table = names.flatMap((name) => {
    const left = wrap(before.get(name) ?? "–");
    const right = step === undefined ? [] : wrap(before.get(name) === after.get(name) ? "the same" : (after.get(name) ?? "–"));
    return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => [i === 0 ? name : "", left[i] ?? "", right[i] ?? ""]);
  });
  const widths = [0, 1, 2].map((c) => Math.max(...table.map((row) => row[c]!.length)));
  const lines = table.map((row) => `  ${row.map((cell, c) => cell.padEnd(widths[c]!)).join(GAP)}`.trimEnd());
  return [when, ...lines].map((line) => `${line}\n`).join("");
}

function rowsOf({ entry, folio, devices, notifier, tlb }: PageState): Map<string, string> {
  const rows = new Map<string, string>();
  if (entry !== null) rows.set(`PTE of ${entry.address}`, entryText(entry));
  if (folio !== null) {
    rows.set(folio.pages === 1 ? `folio, frame ${folio.frame}` : `folio of frame ${folio.frame}`, folioText(folio));
    if (folio.lockedBy !== null) rows.set("folio lock", folio.lockedBy);
    if (folio.holders.length > 0) rows.set("references held", folio.holders.join(", "));
  }
  for (const { device, frame, access } of devices) if (frame !== null) rows.set(device, `frame ${frame}, ${access}`);
  for (const cached of tlb) rows.set(`TLB of ${cached.cpu}`, `${cached.address} -> frame ${cached.frame} ${cached.access}`);
  if (notifier !== null) rows.set(`notifier of mm ${notifier.mm}`, notifierText(notifier));
  for (const { device, sequence } of notifier === null ? [] : devices) rows.set(`  seq of ${device}`, String(sequence));
  return rows;
}

function entryText({ kind, flags, frame, pfn, slot }: EntryState): string {
  const what = kind === "swap" ? `swap slot ${slot}` : kind === "none" ? "none" : `${kind}, frame ${frame ?? "?"} (pfn ${pfn?.toString(16)})`;
  return [what, ...flags].join(" ");
}

function folioText({ folio, pages, free, refcount, mapcount, flags }: FolioState): string {
  const large = pages === 1 ? "" : `${pages} pages from frame ${folio}, `;
  return `${large}${free ? "free, " : ""}refcount ${refcount}, mapcount ${mapcount}${flags.length === 0 ? "" : `; ${flags.join(" ")}`}`;
}

function notifierText({ sequence, invalidations, by }: NotifierState): string {
  return `seq ${sequence}, ${invalidations === 0 ? "no invalidation" : `${invalidations} under way: ${by.join(", ")}`}`;
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > CELL_MAX) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
