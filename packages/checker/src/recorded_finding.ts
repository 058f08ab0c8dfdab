import { PAGE_SIZE } from "@faultline/kernel";
import { diagramRows } from "./diagram.js";
import { RULES, type Violation, type ViolationKind } from "./violation.js";

/** What a recording of an execution says of the rule that the execution broke. Events are counted from 0. */
export interface RecordedFinding {
  readonly kind: ViolationKind;
  readonly rule: string;
  readonly message: string;
  /** The last event when it was seen. */
  readonly event: number;
  /** The page that it is about, where that is known. */
  readonly page: { readonly mm: number; readonly vpn: number } | null;
  /** The race diagram, line by line, with the event of each that is a step. */
  readonly diagram: readonly { readonly text: string; readonly event: number | null }[];
  /** What the scenario's programs had written. */
  readonly output: readonly string[];
}

/** @param eventAt the last event of the recording when so many of the violation's steps had happened */
export function findingOf(violation: Violation, eventAt: (steps: number) => number): RecordedFinding {
  const { kind, message, decisive, output } = violation;
  // Lines follow each other: one that was announced ahead of what others did comes behind that.
  let latest = 0;
  const diagram = diagramRows(violation).map(({ text, step }) => ({ text, event: step === null ? null : (latest = Math.max(latest, eventAt(step + 1))) }));
  return {
    kind,
    rule: RULES[kind],
    message,
    event: eventAt(decisive),
    page: pageOf(violation),
    diagram,
    output,
  };
}

function pageOf({ about, state }: Violation): RecordedFinding["page"] {
  if (about?.mm !== undefined && about.vpn !== undefined) return { mm: about.mm, vpn: about.vpn };
  // A frame is found by the entry that has had it.
  const entry = state?.after.entry ?? state?.before.entry ?? null;
  return entry === null ? null : { mm: entry.mm, vpn: Math.floor(Number(entry.address) / PAGE_SIZE) };
}
