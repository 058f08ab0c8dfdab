import { Madv, Prot } from "@faultline/kernel";
import type { Call } from "./calls.js";
import type { Statement } from "./emit_c_calls.js";
import type { Plan } from "./emit_c_plan.js";

const PAGE = 4096;
/** What the program's device WRITE leaves in a word. */
export const PATTERN = 0xd0d0d0d0;
/** Orders of calls are looked through for as many of these: how far each thread can be. */
const STATES_MAX = 100_000;

/** A word that the scenario loads, stores or adds to, and what it may hold in the end. */
export interface FinalWord {
  readonly addr: number;
  /** Ascending; null where there are too many orders of the calls to tell. */
  readonly allowed: readonly number[] | null;
}

/** One word: its value, or null while it is not mapped. */
interface Word {
  readonly value: number | null;
  readonly readable: boolean;
}

type Words = ReadonlyMap<string, Word>;

/** Words of a plan, by address, without those that cannot be read in the end. */
export function finalWords(plan: Plan): FinalWord[] {
  const threads = plan.threads.map(({ calls }) => calls.map(({ statement }) => statement));
  const addresses = new Set<number>(plan.loaded);
  for (const { call } of [...plan.setup, ...threads.flat()]) for (const addr of wordOf(call)) addresses.add(addr);
  const words: FinalWord[] = [];
  for (const addr of [...addresses].sort((a, b) => a - b)) {
    const final = finalStates(plan, threads, addr);
    if (final === null) words.push({ addr, allowed: null });
    else if (final.every(({ value, readable }) => value !== null && readable)) {
      words.push({ addr, allowed: [...new Set(final.map(({ value }) => value!))].sort((a, b) => a - b) });
    }
  }
  return words;
}

/** The word that a call is on, if any. */
function wordOf({ name, args }: Call): number[] {
  const addr = name === "deviceAtomicAdd32" ? args[1] : ["load32", "store32", "atomicAdd32"].includes(name) ? args[0] : null;
  return typeof addr === "number" ? [addr] : [];
}

/**
 * What becomes of a word over all orders of the calls, each taken as a whole: words are written
 * whole, so that no order of smaller steps can give another value. Null when there are too many.
 */
function finalStates(plan: Plan, threads: readonly (readonly Statement[])[], addr: number): Word[] | null {
  const cells = threads.reduce((n, { length }) => n * (length + 1), 1);
  if (cells > STATES_MAX) return null;
  const start = plan.setup.reduce<Words>((words, s) => after(words, s, addr), byKey([{ value: null, readable: false }]));
  // How far the threads are, as digits of a number: what comes later has a larger one.
  const reached = new Map<number, Words>([[0, start]]);
  for (let cell = 0; cell < cells; cell++) {
    const here = reached.get(cell)!;
    let stride = 1;
    for (const calls of threads) {
      const done = Math.floor(cell / stride) % (calls.length + 1);
      const next = calls[done];
      if (next !== undefined) {
        const there = reached.get(cell + stride) ?? new Map<string, Word>();
        reached.set(cell + stride, new Map([...there, ...after(here, next, addr)]));
      }
      stride *= calls.length + 1;
    }
  }
  const end = plan.check.reduce<Words>((words, s) => after(words, s, addr), reached.get(cells - 1)!);
  return [...end.values()];
}

function byKey(words: readonly Word[]): Words {
  return new Map(words.map((word) => [`${word.value} ${word.readable}`, word]));
}

/** What a call, as the program makes it, can make of a word. */
function after(words: Words, { call, code }: Statement, addr: number): Words {
  return code === null ? words : byKey([...words.values()].flatMap((word) => outcomes(word, call, addr)));
}

function outcomes(word: Word, { name, args, result }: Call, addr: number): Word[] {
  const [a = 0, b = 0, c = 0, d = 0] = args.map((arg) => arg ?? 0);
  const covers = (from: number, pages: number): boolean => addr >= from && addr < from + pages * PAGE;
  const value = (v: number): Word => ({ ...word, value: v >>> 0 });
  if (name === "mmap") return [covers(result!, a) ? { value: 0, readable: true } : word];
  if (word.value === null) return [word];
  switch (name) {
    case "munmap":
      return [covers(a, b) ? { value: null, readable: false } : word];
    case "mprotect":
      return [covers(a, b) ? { ...word, readable: c !== 0 && (c & (Prot.READ | Prot.WRITE | Prot.EXEC)) !== 0 } : word];
    case "store32":
      return [a === addr ? value(b) : word];
    case "atomicAdd32":
      return [a === addr ? value(word.value + b) : word];
    case "madvise":
      if (!covers(a, b)) return [word];
      if (c === Madv.DONTNEED || c === Madv.DONTNEED_LOCKED) return [value(0)];
      // It is there until reclaim takes it, unless it is written before.
      return c === Madv.FREE ? [word, value(0)] : [word];
    case "deviceFault":
      // Where it fails, nothing is written.
      return d === 1 && covers(b, c) ? [word, value(PATTERN)] : [word];
    default:
      return [word];
  }
}
