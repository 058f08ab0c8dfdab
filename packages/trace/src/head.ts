import { Event } from "@faultline/kernel";
import type { EventTable } from "./codec.js";
import { ARGS_MAX } from "./codec.js";
import { decodeFinding, type TraceFinding } from "./finding.js";
import { EVENTS } from "./schema.js";

/** What ran. Sizes in bytes. */
export interface TraceHead {
  readonly format: typeof FORMAT;
  readonly program: string;
  /** Arguments, the program's name not among them. */
  readonly args: readonly string[];
  readonly release: string;
  /** Patches undone besides, files of patches of the user's own, and files of drivers of the user's own. */
  readonly without: readonly string[];
  readonly patches: readonly string[];
  readonly drivers: readonly string[];
  readonly memory: number;
  readonly swap: number;
  readonly cpus: number;
  readonly seed: number;
  /** Operator's lines, ahead of the program and during it. */
  readonly before: readonly string[];
  readonly lines: readonly string[];
  /** Whether entry and exit of kernel functions, and locks, were recorded as well. */
  readonly functions: boolean;
}

/** How it ended. */
export interface TraceEnd {
  readonly end: "exited" | "shutdown" | "stuck" | "interrupted" | "failed";
  readonly events: number;
  readonly keyframes: number;
  /** Nanoseconds of machine time. */
  readonly duration: number;
  /** SHA-256 of the events: see `HashingSink`. */
  readonly hash: string;
  /** The rule that an execution of a scenario broke, where it did. */
  readonly finding?: TraceFinding;
}

export const FORMAT = 1;

/** A head as it stands in the file: with names and arguments of the events, in the order of their numbers. */
export function encodeHead(head: TraceHead): string {
  const events = EVENTS.map(({ name, args }) => [name, ...args.map(([arg, kind]) => `${arg}:${kind}`)]);
  return JSON.stringify({ ...head, events });
}

/** A head that was read, or what is wrong with it. */
export function decodeHead(text: string): { readonly head: TraceHead; readonly table: EventTable } | string {
  const read = parseObject(text);
  if (read === null) return "its head is damaged";
  // Files that were written before drivers were named say nothing of them.
  const json: Record<string, unknown> = { drivers: [], ...read };
  if (json["format"] !== FORMAT) return `it is of format ${String(json["format"])}, and this version of Faultline reads ${FORMAT}`;
  const shapes: Readonly<Record<string, "string" | "number" | "boolean" | "strings">> = {
    program: "string",
    args: "strings",
    release: "string",
    without: "strings",
    patches: "strings",
    drivers: "strings",
    memory: "number",
    swap: "number",
    cpus: "number",
    seed: "number",
    before: "strings",
    lines: "strings",
    functions: "boolean",
  };
  for (const [name, shape] of Object.entries(shapes)) {
    const value = json[name];
    if (shape === "strings" ? !isStrings(value) : typeof value !== shape) return "its head is damaged";
  }
  const table = tableOf(json["events"]);
  return typeof table === "string" ? table : { head: json as unknown as TraceHead, table };
}

function tableOf(value: unknown): EventTable | string {
  if (!Array.isArray(value) || !value.every(isStrings)) return "its head is damaged";
  const raw: boolean[][] = [];
  const events: Event[] = [];
  for (const [name, ...args] of value) {
    const known = EVENTS.find((info) => info.name === name);
    const same = known !== undefined && known.args.length === args.length && args.length <= ARGS_MAX;
    if (!same || !known.args.every(([arg, kind], i) => args[i] === `${arg}:${kind}`)) {
      return `its event ${name} is unknown here, or has other arguments: another version of Faultline wrote it`;
    }
    raw.push(args.map((arg) => arg.endsWith(":raw")));
    events.push(known.event);
  }
  return { raw, events };
}

/** What stands in an End block; null when that is damaged. */
export function decodeEnd(text: string): TraceEnd | null {
  const json = parseObject(text);
  const ends: readonly unknown[] = ["exited", "shutdown", "stuck", "interrupted", "failed"];
  if (json === null || !ends.includes(json["end"]) || typeof json["hash"] !== "string") return null;
  for (const name of ["events", "keyframes", "duration"]) if (typeof json[name] !== "number") return null;
  if (json["finding"] !== undefined && decodeFinding(json["finding"], json["events"] as number) === null) return null;
  return json as unknown as TraceEnd;
}

export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
