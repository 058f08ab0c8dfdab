import type { KernelModules, Machine } from "@faultline/kernel";
import { ValueHash } from "./value_hash.js";

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

const GENERATOR = Object.getPrototypeOf(function* () {}) as object;

/** One function that a task is in. */
interface Frame {
  /** The caller's hash when it called, and the function's own when it began. */
  readonly callerLo: number;
  readonly callerHi: number;
  readonly lo: number;
  readonly hi: number;
  readonly args: readonly unknown[];
  /** A function was passed in that may do anything: what happens in here may matter to the caller beyond the result. */
  readonly opaque: boolean;
  /** It does at once what another function is called for where this one could not. */
  readonly tries: boolean;
  /** Sequence numbers that it holds, each of a read of an interval notifier. */
  sequences: readonly number[];
  /** How often a retry loop in it has gone round. */
  turns: number;
}

/** Who keeps the hash of what the running task has seen. */
export interface Seen {
  /** Which task runs: a small number. */
  readonly slot: number;
  /** False while nobody is followed: setup, and what looks on. */
  readonly running: boolean;
  /** The hash: two words. */
  readonly lo: number;
  readonly hi: number;
  set(lo: number, hi: number): void;
  add(value: number): void;
}

/**
 * Functions that come in pairs (see kernel/locks): whether it was the first of them that succeeded,
 * or the second after a switch or a wait, the caller knows the same afterwards.
 */
const LOCK_PAIRS: ReadonlySet<string> = new Set(["tryFolioLock", "folioLock", "tryRcuReadUnlock", "rcuReadUnlock"]);

const NO_SEQUENCES: readonly number[] = [];

/** Setup runs before anybody is followed. */
const NOBODY: Seen = { slot: 0, running: false, lo: 0, hi: 0, set: () => {}, add: () => {} };

/**
 * What a kernel function has seen is forgotten when it returns, but for what it returns: its
 * locals are gone. So executions come to the same state again after a fault that had to be
 * repeated, or a lock that was waited for. What it has done is in the machine.
 */
export class CallFrames {
  /** Most turns that a loop has taken within one call. */
  turnsMax = 0;
  private readonly stacks: Frame[][] = [];
  private readonly known = new WeakSet<object>();
  readonly values = new ValueHash(this.known);
  private functions = 0;
  /** Functions of `LOCK_PAIRS`, by number. */
  private readonly pairs = new Set<number>();
  seen: Seen = NOBODY;

  begin(): void {
    this.stacks.length = 0;
    this.turnsMax = 0;
  }

  /** The kernel's functions, each of which is followed from here on. */
  instrument(modules: KernelModules): KernelModules {
    const followed: Record<string, unknown> = {};
    for (const [module, members] of Object.entries(modules)) {
      followed[module] = this.follow(members);
    }
    return followed as unknown as KernelModules;
  }

  /** Copies of functions; all else as it is. `opaque`: nothing is forgotten of what they see. */
  follow(members: Readonly<Record<string, unknown>>, opaque = false): Record<string, unknown> {
    return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, isFunction(member) ? this.wrap(member, opaque) : member]));
  }

  /** The sequence numbers that a task holds. */
  sequences(slot: number): readonly number[] {
    let held = NO_SEQUENCES;
    for (const { sequences } of this.stacks[slot] ?? []) if (sequences.length > 0) held = held.length === 0 ? sequences : [...held, ...sequences];
    return held;
  }

  /** A function that is followed when it is called. */
  private wrap(fn: AnyFunction, opaque: boolean): AnyFunction {
    const id = ++this.functions;
    if (LOCK_PAIRS.has(fn.name)) this.pairs.add(id);
    const tries = fn.name.startsWith("try");
    const frames = this;
    let wrapped: AnyFunction;
    if (Object.getPrototypeOf(fn) === GENERATOR) {
      wrapped = function* (this: unknown, ...args: unknown[]): Generator<unknown, unknown, unknown> {
        if (!frames.seen.running) return yield* fn.apply(this, args) as Generator<unknown, unknown, unknown>;
        const frame = frames.enter(id, args, tries, opaque);
        const result: unknown = yield* fn.apply(this, args) as Generator<unknown, unknown, unknown>;
        frames.leave(id, frame, result);
        return result;
      };
    } else {
      wrapped = function (this: unknown, ...args: unknown[]): unknown {
        if (!frames.seen.running) return fn.apply(this, args);
        const frame = frames.enter(id, args, tries, opaque);
        const result = fn.apply(this, args);
        frames.leave(id, frame, result);
        return result;
      };
    }
    this.known.add(wrapped);
    return wrapped;
  }

  /** Loops that declare themselves go round as if for the first time, but for how often they have. */
  listenToRetries({ retries }: Machine): void {
    const { again } = retries;
    retries.again = (site, changed) => {
      if (this.seen.running) this.goesRound();
      return again.call(retries, site, changed);
    };
  }

  private enter(id: number, args: readonly unknown[], tries: boolean, opaque: boolean): Frame {
    const { values, seen } = this;
    const { lo: callerLo, hi: callerHi } = seen;
    values.begin();
    values.word(id);
    for (const arg of args) values.value(arg);
    seen.add(values.lo);
    seen.add(values.hi);
    const { lo, hi } = seen;
    const frame = { callerLo, callerHi, lo, hi, args, opaque: opaque || values.opaque, tries, sequences: values.sequences.length === 0 ? NO_SEQUENCES : [...values.sequences], turns: 0 };
    this.stack().push(frame);
    return frame;
  }

  private leave(id: number, frame: Frame, result: unknown): void {
    const { seen } = this;
    if (this.pairs.has(id) && (result !== false || frame.tries)) {
      this.stack().pop();
      return seen.set(frame.callerLo, frame.callerHi);
    }
    const stack = this.stack();
    while (stack.length > 0 && stack.pop() !== frame);
    const { lo, hi } = seen;
    this.hashAfter(id, frame, result);
    seen.set(frame.callerLo, frame.callerHi);
    if (frame.opaque) {
      seen.add(lo);
      seen.add(hi);
    }
    seen.add(this.values.lo);
    seen.add(this.values.hi);
    const caller = stack.at(-1);
    if (caller !== undefined && this.values.sequences.length > 0) caller.sequences = [...new Set([...caller.sequences, ...this.values.sequences])];
  }

  /** What a call has given its caller: the result, and what stands in the arguments now. */
  private hashAfter(id: number, { args }: Frame, result: unknown): void {
    const { values } = this;
    values.begin();
    values.word(id);
    values.value(result);
    for (const arg of args) if (typeof arg === "object" && arg !== null) values.value(arg);
  }

  private goesRound(): void {
    const { seen } = this;
    const frame = this.stack().at(-1);
    if (frame === undefined) return;
    frame.turns++;
    this.turnsMax = Math.max(this.turnsMax, frame.turns);
    this.hashAfter(frame.turns, frame, null);
    frame.sequences = this.values.sequences.length === 0 ? NO_SEQUENCES : [...this.values.sequences];
    const { lo, hi } = seen;
    seen.set(frame.lo, frame.hi);
    if (frame.opaque) {
      seen.add(lo);
      seen.add(hi);
    }
    seen.add(this.values.lo);
    seen.add(this.values.hi);
  }

  private stack(): Frame[] {
    return (this.stacks[this.seen.slot] ??= []);
  }
}

function isFunction(member: unknown): member is AnyFunction {
  return typeof member === "function" && !Function.prototype.toString.call(member).startsWith("class");
}
