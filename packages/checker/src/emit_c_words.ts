import { Madv, Prot } from "@faultline/kernel";
import type { Call } from "./calls.js";
import type { Statement } from "./emit_c_calls.js";
import type { Plan } from "./emit_c_plan.js";

const PAGE = 4096;
/** What the program's device WRITE leaves in a word. */
export const PATTERN = 0xd0d0d0d0;
/** Ways in which the threads can be so far each, for orders of the calls to be looked through. */
const STATES_MAX = 100_000;

/** A word that the scenario loads, stores or adds to, and what it may hold in the end. */
export interface FinalWord {
  readonly addr: number;
  /** Ascending. */
  readonly allowed: readonly number[];
}

/** What the order of the calls, whichever it is, allows to be seen. */
export interface Allowed {
  /** Without words that may be unreadable in the end. */
  readonly final: readonly FinalWord[];
  /** What each load of a thread's may give, ascending. */
  readonly loads: ReadonlyMap<Statement, readonly number[]>;
}

/** One word: its value, or null while it is not mapped. */
interface Word {
  readonly value: number | null;
  readonly readable: boolean;
}

type Words = ReadonlyMap<string, Word>;

/** Words of a plan; nothing of them where there are too many orders of the calls to tell. */
export function allowedBy(plan: Plan): Allowed {
  const threads = plan.threads.map(({ calls }) => calls.map(({ statement }) => statement));
  const addresses = new Set<number>(plan.loaded);
  for (const { call } of [...plan.setup, ...threads.flat()]) for (const addr of wordOf(call)) addresses.add(addr);
  const final: FinalWord[] = [];
  const loads = new Map<Statement, readonly number[]>();
  if (threads.reduce((n, { length }) => n * (length + 1), 1) > STATES_MAX) return { final, loads };
  for (const addr of [...addresses].sort((a, b) => a - b)) {
    const seen = new Map<Statement, Word[]>();
    const states = finalStates(plan, threads, addr, seen);
    for (const [load, words] of seen) loads.set(load, valuesOf(words));
    if (states.every(({ value, readable }) => value !== null && readable)) final.push({ addr, allowed: valuesOf(states) });
  }
  return { final, loads };
}

function valuesOf(words: readonly Word[]): number[] {
  return [...new Set(words.flatMap(({ value }) => (value === null ? [] : [value])))].sort((a, b) => a - b);
}

/** The word that a call is on, if any. */
function wordOf({ name, args }: Call): number[] {
  const addr = name === "deviceAtomicAdd32" ? args[1] : ["load32", "store32", "atomicAdd32"].includes(name) ? args[0] : null;
  return typeof addr === "number" ? [addr] : [];
}

/**
 * What becomes of a word over all orders of the calls, each taken as a whole: words are written
 * whole, so that no order of smaller steps can give another value. `seen` gets what loads find.
 */
function finalStates(plan: Plan, threads: readonly (readonly Statement[])[], addr: number, seen: Map<Statement, Word[]>): Word[] {
  const cells = threads.reduce((n, { length }) => n * (length + 1), 1);
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
        const { name, args } = next.call;
        if (name === "load32" && args[0] === addr) seen.set(next, [...(seen.get(next) ?? []), ...here.values()]);
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
