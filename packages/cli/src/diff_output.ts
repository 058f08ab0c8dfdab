/** The first line in which two outputs differ, counted from 1; null for an output that has ended before. */
export interface LineDifference {
  readonly line: number;
  readonly native: string | null;
  readonly guest: string | null;
  /** Lines before it, as the native program has printed them. */
  readonly before: readonly string[];
  /** Why the two were not taken for the same, where that is not plain to see. */
  readonly reason?: string;
}

const CONTEXT = 3;
/** What is smaller is no address: the first pages of an address space stay unmapped. */
const ADDRESS_MIN = 0x10000;

const TOKEN = /0x[0-9a-fA-F]+|\b[0-9a-f]{8,16}\b|\d+(?:\.\d+)?|[A-Za-z_]+|\s+|./g;
const NUMBER = /^\d+(?:\.\d+)?$/;
const SPACE = /^\s+$/;
const TIME_UNIT = /^(?:ns|us|ms|s|sec|secs|seconds?|nanoseconds?|microseconds?|milliseconds?|jiffies|ticks)$/;
const TIME_LABEL = /\b(?:time|elapsed|took|duration|uptime|utime|stime)\b/i;
const ID_LABEL = /^(?:[pt]id|pp?id|pgid|pgrp|sid|session|tgid|thread|process|child|parent)$/i;
/** Words that may stand between a label and its number. */
const FILLER = /^(?:\s+|[:=#([]|is)$/;

/** Names of one kind that may be different on the two sides, as long as each stands for one and the same. */
class Pairing {
  private readonly there = new Map<string, string>();
  private readonly back = new Map<string, string>();

  agree(native: string, guest: string): boolean {
    const known = this.there.get(native);
    const inverse = this.back.get(guest);
    if (known === undefined && inverse === undefined) {
      this.there.set(native, guest);
      this.back.set(guest, native);
      return true;
    }
    return known === guest && inverse === native;
  }
}

/**
 * Compares two outputs line by line. What is equal is equal; beyond that an address may stand for an
 * address and a process id for a process id, always the same, and a time for a time.
 */
export class OutputComparison {
  private readonly addresses = new Pairing();
  private readonly ids = new Pairing();

  /** The processes that the two runs began with. */
  constructor(private readonly pids: { readonly native: number; readonly guest: number }) {}

  first(native: string, guest: string): LineDifference | null {
    const [ours, theirs] = [native.split("\n"), guest.split("\n")];
    for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
      const [a, b] = [ours[i] ?? null, theirs[i] ?? null];
      const reason = a === null || b === null ? "" : this.lineReason(a, b);
      if (reason === null) continue;
      // What a split leaves behind the last line end is no line.
      const line = (text: string | null, all: readonly string[]): string | null => (text === "" && i === all.length - 1 ? null : text);
      const difference = { line: i + 1, native: line(a, ours), guest: line(b, theirs), before: ours.slice(Math.max(0, i - CONTEXT), i) };
      return reason === "" ? difference : { ...difference, reason };
    }
    return null;
  }

  /** Null where the lines say the same; else why not, or nothing where it is plain. */
  private lineReason(native: string, guest: string): string | null {
    if (native === guest) return null;
    const [a, b] = [native.match(TOKEN) ?? [], guest.match(TOKEN) ?? []];
    if (a.length !== b.length) return "";
    for (let i = 0; i < a.length; i++) {
      const [ours, theirs] = [a[i]!, b[i]!];
      if (ours === theirs || (SPACE.test(ours) && SPACE.test(theirs))) continue;
      if (isAddress(a, i) && isAddress(b, i)) {
        if (this.addresses.agree(ours, theirs)) continue;
        return `${ours} has stood for another address than ${theirs} before`;
      }
      if (!NUMBER.test(ours) || !NUMBER.test(theirs)) return "";
      if (isTime(a, i) || TIME_LABEL.test(native)) continue;
      if (!isId(a, i) && !(Number(ours) === this.pids.native && Number(theirs) === this.pids.guest)) return "";
      if (!this.ids.agree(ours, theirs)) return `${ours} has stood for another process than ${theirs} before`;
    }
    return null;
  }
}

/** With 0x; or without, as in /proc/PID/maps, where it cannot be a decimal number: one end of a range, or letters in it. */
function isAddress(tokens: readonly string[], at: number): boolean {
  const token = tokens[at]!;
  const inRange = tokens[at - 1] === "-" || tokens[at + 1] === "-";
  const match = /^(?:0x([0-9a-fA-F]{5,16})|([0-9a-f]{8,16}))$/.exec(token);
  if (match === null || (match[1] === undefined && !inRange && NUMBER.test(token))) return false;
  return Number(`0x${match[1] ?? match[2]}`) >= ADDRESS_MIN;
}

function isTime(tokens: readonly string[], at: number): boolean {
  const next = SPACE.test(tokens[at + 1] ?? "") ? tokens[at + 2] : tokens[at + 1];
  return TIME_UNIT.test(next ?? "");
}

/** Whether the number follows a word for a process. */
function isId(tokens: readonly string[], at: number): boolean {
  let i = at - 1;
  while (i >= 0 && FILLER.test(tokens[i]!)) i--;
  return i >= 0 && ID_LABEL.test(tokens[i]!);
}
