import type { LockRef } from "./folio_protocol.js";
import type { Source } from "./protocol.js";

/** A page of an address space. */
export interface Selection {
  readonly mm: number;
  readonly vpn: number;
}

/** What stays selected while one steps: the pfn of a folio, and a lock. */
export interface Followed {
  readonly folio: number | null;
  readonly lock: LockRef | null;
}

/** All that a link holds. Never a user's code, and no file. */
export interface Link {
  readonly source: Source | null;
  readonly step: number | null;
  readonly selection: Selection | null;
  readonly followed: Followed;
  /** What it is compared with. */
  readonly other: Source | null;
}

const VPN_END = 2 ** 26;
export const SEED_MAX = 2 ** 32 - 1;
/** Of a program, in a link: one that is longer was not made here. */
const ARGS_MAX = 32;
/** Of what is run unless another is asked for. */
export const RELEASE = "7.3";

/** Reads what stands behind the # of an address; what is no part of a link counts as absent. */
export function parseLink(hash: string): Link {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const step = wholeNumber(words.get("step"), 2 ** 32);
  const other = words.get("with");
  return { source: sourceOf(words), step, selection: selectionOf(words.get("sel")), followed: { folio: pfnOf(words.get("folio")), lock: lockOf(words.get("lock")) }, other: other === null ? null : sourceOf(new URLSearchParams(other)) };
}

export function formatLink({ source, step, selection, followed: { folio, lock }, other }: Link): string {
  const words = wordsOf(source);
  if (words === null) return "";
  if (step !== null) words.set("step", String(step));
  if (selection !== null) words.set("sel", `${selection.mm}:0x${(selection.vpn * 4096).toString(16)}`);
  if (folio !== null) words.set("folio", `0x${folio.toString(16)}`);
  if (lock !== null) words.set("lock", lock.kind === "folio" ? `folio:0x${lock.pfn.toString(16)}` : lock.kind === "mmap_lock" ? `mmap_lock:${lock.mm}` : `${lock.name}:${lock.id}`);
  const beside = wordsOf(other);
  if (beside !== null) words.set("with", readable(beside));
  return `#${readable(words)}`;
}

/** Readable where that is as good: schedules and addresses. */
function readable(words: URLSearchParams): string {
  return words.toString().replaceAll("%3D", "=").replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** A source as a link names it; null for a file, which it does not hold. */
function wordsOf(source: Source | null): URLSearchParams | null {
  const words = new URLSearchParams();
  if (source?.kind === "scenario" || source?.kind === "program") {
    words.set(source.kind, source.name);
    words.set("release", source.release);
    if (source.without.length > 0) words.set("without", source.without.join(","));
    if (source.kind === "scenario") words.set("schedule", source.schedule);
    else {
      words.set("seed", String(source.seed));
      for (const arg of source.args) words.append("arg", arg);
    }
  } else if (source?.kind === "served") words.set("trace", String(source.number));
  else return null;
  return words;
}

function sourceOf(words: URLSearchParams): Source | null {
  const release = words.get("release") ?? RELEASE;
  const without = (words.get("without") ?? "").split(",").filter((name) => name !== "");
  const scenario = words.get("scenario");
  if (scenario !== null) return { kind: "scenario", name: scenario, release, without, schedule: words.get("schedule") ?? "default" };
  const program = words.get("program");
  if (program !== null) return { kind: "program", name: program, args: words.getAll("arg").slice(0, ARGS_MAX), release, without, seed: wholeNumber(words.get("seed"), SEED_MAX) ?? 1 };
  return words.has("trace") ? { kind: "served", number: words.get("trace") === "2" ? 2 : 1 } : null;
}

function selectionOf(text: string | null): Selection | null {
  const match = /^(\d{1,9}):0x([0-9a-f]{1,10})$/.exec(text ?? "");
  if (match === null) return null;
  const vpn = Math.floor(parseInt(match[2]!, 16) / 4096);
  return vpn < VPN_END ? { mm: Number(match[1]), vpn } : null;
}

function pfnOf(text: string | null): number | null {
  const match = /^0x([0-9a-f]{1,10})$/.exec(text ?? "");
  return match === null ? null : parseInt(match[1]!, 16);
}

function lockOf(text: string | null): LockRef | null {
  const [, name, number] = /^(\w{1,40}):(0x[0-9a-f]{1,10}|\d{1,10})$/.exec(text ?? "") ?? [];
  if (name === undefined) return null;
  if (name === "folio") return { kind: "folio", pfn: Number(number) };
  return name === "mmap_lock" ? { kind: "mmap_lock", mm: Number(number) } : { kind: "lock", id: Number(number), name };
}

function wholeNumber(text: string | null, max: number): number | null {
  if (text === null || !/^\d{1,10}$/.test(text)) return null;
  return Math.min(Number(text), max);
}
