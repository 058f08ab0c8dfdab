import { Madv, Prot, type MaySleep } from "@faultline/kernel";
import { isWord, type Advice, type Operation, type WordOperation } from "./fuzz_program.js";
import type { ThreadApi } from "./scenario.js";

const PAGE = 4096;
export const PROT = { NONE: 0, READ: Prot.READ, READ_WRITE: Prot.READ | Prot.WRITE } as const;
const PROT_TEXT = { NONE: "0", READ: "Prot.READ", READ_WRITE: "Prot.READ | Prot.WRITE" } as const;

/** Where the pages of a program are. */
export interface Memory {
  readonly base: number;
  /** The frames that populated pages had at first. */
  readonly frames: readonly number[];
}

/** Offset of a word in its page, in bytes. */
export function offsetOf(word: number): number {
  return 4 * word;
}

/** Does an access to a word: what was read, or was there before, or is stored; null when it does not go through. */
export function* access(t: ThreadApi, { base }: Memory, op: WordOperation, mayFault: boolean): MaySleep<number | null> {
  const addr = base + op.page * PAGE + offsetOf(op.word);
  const { device, value } = op;
  switch (op.kind) {
    case "load":
      return yield* mayFault ? t.tryLoad32(addr) : t.load32(addr);
    case "store":
      if (!mayFault) yield* t.store32(addr, value);
      else if (!(yield* t.tryStore32(addr, value))) return null;
      return value;
    case "add":
      return yield* mayFault ? t.tryAtomicAdd32(addr, value) : t.atomicAdd32(addr, value);
    case "device-load":
      return unlessError(yield* t.deviceLoad32(device, addr));
    case "device-store":
      return (yield* t.deviceStore32(device, addr, value)) < 0 ? null : value;
    case "device-add":
      return unlessError(yield* t.deviceAtomicAdd32(device, addr, value));
  }
}

function unlessError(result: number): number | null {
  return result < 0 ? null : result;
}

/** The same access in TypeScript, and whether what it gives says that it went through. */
export function accessText(op: WordOperation, mayFault: boolean, at: string): { readonly call: string; readonly done: ((result: string) => string) | null } {
  const addr = op.word === 0 ? at : `${at} + ${offsetOf(op.word)}`;
  const notNull = mayFault ? (result: string) => `${result} !== null` : null;
  const noError = (result: string): string => `${result} >= 0`;
  switch (op.kind) {
    case "load":
      return { call: `yield* t.${mayFault ? "tryLoad32" : "load32"}(${addr})`, done: notNull };
    case "store":
      return { call: `yield* t.${mayFault ? "tryStore32" : "store32"}(${addr}, ${op.value})`, done: mayFault ? (result) => result : null };
    case "add":
      return { call: `yield* t.${mayFault ? "tryAtomicAdd32" : "atomicAdd32"}(${addr}, ${op.value})`, done: notNull };
    case "device-load":
      return { call: `yield* t.deviceLoad32(${op.device}, ${addr})`, done: noError };
    case "device-store":
      return { call: `yield* t.deviceStore32(${op.device}, ${addr}, ${op.value})`, done: noError };
    case "device-add":
      return { call: `yield* t.deviceAtomicAdd32(${op.device}, ${addr}, ${op.value})`, done: noError };
  }
}

type Other = Exclude<Operation, WordOperation>;

/** Does anything else. `held` gets pages that are let go when the thread ends. */
export function* perform(t: ThreadApi, { base, frames }: Memory, op: Other, held: number[]): MaySleep<void> {
  const addr = "page" in op ? base + op.page * PAGE : 0;
  switch (op.kind) {
    case "madvise":
      yield* t.madvise(addr, op.pages, Madv[op.advice]);
      break;
    case "mprotect":
      yield* t.mprotect(addr, op.pages, PROT[op.prot]);
      break;
    case "munmap":
      yield* t.munmap(addr, op.pages);
      break;
    case "mmap":
      yield* t.mmapFixed(addr, op.pages);
      break;
    case "exclusive":
      yield* t.makeExclusive(op.device, addr, op.pages);
      break;
    case "mirror":
      yield* t.deviceFault(op.device, addr, op.pages, op.write);
      break;
    case "gup": {
      const page = yield* t.getUserPage(addr, op.write);
      if (page < 0) break;
      if (op.hold) held.push(page);
      else yield* t.putUserPage(page);
      break;
    }
    case "migrate":
      yield* t.migrate(frames[op.page]!);
      break;
    case "offline":
      yield* t.offline(frames[op.page]!);
      break;
    case "reclaim":
      yield* t.reclaim(op.pages);
      break;
    case "drain":
      yield* t.drainLruBatches();
      break;
  }
}

/** The same in TypeScript: statements, and those that the end of the thread needs. `n` makes names differ. */
export function performText(op: Other, at: (page: number) => string, frame: (page: number) => string, n: number): { readonly now: string[]; readonly atEnd: string[] } {
  const now = (...lines: string[]): { now: string[]; atEnd: string[] } => ({ now: lines, atEnd: [] });
  switch (op.kind) {
    case "madvise":
      return now(`yield* t.madvise(${at(op.page)}, ${op.pages}, Madv.${op.advice satisfies Advice});`);
    case "mprotect":
      return now(`yield* t.mprotect(${at(op.page)}, ${op.pages}, ${PROT_TEXT[op.prot]});`);
    case "munmap":
      return now(`yield* t.munmap(${at(op.page)}, ${op.pages});`);
    case "mmap":
      return now(`yield* t.mmapFixed(${at(op.page)}, ${op.pages});`);
    case "exclusive":
      return now(`yield* t.makeExclusive(${op.device}, ${at(op.page)}, ${op.pages});`);
    case "mirror":
      return now(`yield* t.deviceFault(${op.device}, ${at(op.page)}, ${op.pages}, ${op.write});`);
    case "gup": {
      const page = `held${n}`;
      const get = `const ${page} = yield* t.getUserPage(${at(op.page)}, ${op.write});`;
      const put = `if (${page} >= 0) yield* t.putUserPage(${page});`;
      return op.hold ? { now: [get], atEnd: [put] } : now(get, put);
    }
    case "migrate":
      return now(`yield* t.migrate(${frame(op.page)});`);
    case "offline":
      return now(`yield* t.offline(${frame(op.page)});`);
    case "reclaim":
      return now(`yield* t.reclaim(${op.pages});`);
    case "drain":
      return now("yield* t.drainLruBatches();");
  }
}

export function isOther(op: Operation): op is Other {
  return !isWord(op);
}
