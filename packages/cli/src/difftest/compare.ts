import type { Kind, Operation } from "./operations.js";
import { addRun, type Features, type Outcome, type Run, type View } from "./output.js";
import type { Rule } from "./rules.js";

/** Where two runs of one list first say different things. */
export interface Difference {
  /** Of the operation in its list. */
  readonly index: number;
  readonly kind: Kind;
  /** `result`, `files`, `pool`, `mincore`, `pagemap`, `mappings`, or a field of smaps. */
  readonly field: string;
  readonly native: string;
  readonly guest: string;
}

const SOFT_DIRTY = 1;

/** What a feature is, where its name does not say it. */
const WORDS: Readonly<Record<string, string>> = { hugetlb: "pool of huge pages that this process may set and nobody uses", heap: "prctl(PR_SET_MM_MAP)" };

/** What both sides can do; the rest is not compared. */
export function common(native: Features, guest: Features): { readonly both: Features; readonly missing: readonly string[] } {
  const names = [...new Set([...Object.keys(native), ...Object.keys(guest)])];
  return {
    both: Object.fromEntries(names.map((name) => [name, native[name] === true && guest[name] === true])),
    missing: names.filter((name) => native[name] !== true).map((name) => `the host has no ${WORDS[name] ?? name}: not compared`),
  };
}

/** Every field by its name, as text. */
function fieldsOf({ result, view }: Outcome, features: Features): Map<string, string> {
  const mask = features["soft-dirty"] === true ? ~0 : ~SOFT_DIRTY;
  const fields = new Map<string, string>();
  fields.set("result", result);
  fields.set("files", view.files);
  fields.set("pool", view.pool);
  fields.set("mincore", runsText(view.mincore, ~0));
  fields.set("pagemap", runsText(view.pagemap, mask));
  fields.set("mappings", view.mappings.map(({ place }) => place).join(", "));
  for (const { place, fields: values } of view.mappings) {
    for (const [name, value] of Object.entries(values)) {
      const text = name === "VmFlags" && features["soft-dirty"] !== true ? value.replace(/,sd\b/, "") : value;
      fields.set(name, `${fields.get(name) ?? ""}${place.split(" ")[0]}: ${text}; `);
    }
  }
  return fields;
}

function runsText(runs: View["mincore"], mask: number): string {
  const merged: Run[] = [];
  for (const run of runs) addRun(merged, { ...run, value: run.value & mask });
  return merged.map(({ page, pages, value }) => `${page}+${pages}=${value.toString(16)}`).join(" ");
}

/**
 * The first difference that no rule explains; null where there is none. A field that a rule has let pass is not
 * compared for that process before both say the same of it again.
 */
export function firstDifference(list: readonly Operation[], native: readonly Outcome[], guest: readonly Outcome[], features: Features, rules: readonly Rule[]): Difference | null {
  const passed = new Set<string>();
  for (let index = 0; index < Math.max(native.length, guest.length); index++) {
    const [ours, theirs] = [native[index], guest[index]];
    const { kind } = list[index]!;
    if (ours === undefined || theirs === undefined) {
      const end = (record: Outcome | undefined): string => (record === undefined ? "nothing more" : `process ${record.process}: ${record.result}`);
      return { index, kind, field: "end", native: end(ours), guest: end(theirs) };
    }
    if (ours.process === theirs.process && ours.result === theirs.result && ours.view === theirs.view) continue;
    const [a, b] = [fieldsOf(ours, features), fieldsOf(theirs, features)];
    for (const field of new Set([...a.keys(), ...b.keys()])) {
      const [x, y] = [a.get(field) ?? "", b.get(field) ?? ""];
      const key = `${ours.process} ${field}`;
      if (x === y) {
        passed.delete(key);
        continue;
      }
      if (passed.has(key)) continue;
      const rule = rules.find((one) => one.operation === kind && one.field === field && one.holds(ours.view));
      if (rule === undefined) return { index, kind, field, native: x, guest: y };
      if (field !== "result") passed.add(key);
    }
  }
  return null;
}
