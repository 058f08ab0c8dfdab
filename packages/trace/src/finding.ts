/** A rule that the recorded execution broke, as `faultline check` reports it. Events are counted from 0. */
export interface TraceFinding {
  readonly kind: string;
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

/** A finding that was read, with events that are there; null when it is damaged. */
export function decodeFinding(value: unknown, events: number): TraceFinding | null {
  if (!isObject(value)) return null;
  const { kind, rule, message, event, page, diagram, output } = value;
  const isEvent = (number: unknown): boolean => Number.isSafeInteger(number) && (number as number) >= 0 && (number as number) < events;
  if (typeof kind !== "string" || typeof rule !== "string" || typeof message !== "string" || !isEvent(event)) return null;
  if (page !== null && !(isObject(page) && Number.isSafeInteger(page["mm"]) && Number.isSafeInteger(page["vpn"]))) return null;
  if (!Array.isArray(diagram) || !Array.isArray(output) || !output.every((line) => typeof line === "string")) return null;
  for (const row of diagram as unknown[]) {
    if (!isObject(row) || typeof row["text"] !== "string" || !(row["event"] === null || isEvent(row["event"]))) return null;
  }
  return value as unknown as TraceFinding;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
