import { covers, drops, guards, isWord, type Operation, type Program, type WordOperation } from "./fuzz_program.js";

/** What is known ahead of the run about an access to a word by the thread that it belongs to. */
export interface Expectation {
  /** The word may read as zero, whatever was written: its page may have been thrown away. */
  readonly zero: boolean;
  /** Whether the access goes through: null where that depends on the schedule, or on the driver. */
  readonly allowed: boolean | null;
}

type Access = "none" | "read" | "all";

/** Who works: -1 is the setup. */
export const SETUP = -1;

/** What a program can rely on in every schedule. */
export class Expectations {
  private readonly racing: readonly Operation[];
  private readonly all: readonly Operation[];

  constructor(private readonly program: Program) {
    this.racing = program.threads.flatMap(({ operations }) => operations);
    this.all = [...program.setup, ...this.racing];
  }

  /** Whether an access by a CPU may raise a signal, so that it has to be handled. */
  mayFault(page: number): boolean {
    return this.all.some((op) => guards(op) && covers(op, page));
  }

  /** Whether permissions are to be given back before the end is looked at. */
  get protects(): boolean {
    return this.all.some(({ kind }) => kind === "mprotect");
  }

  /** Whether the counter of a page ends as the sum of what was added. */
  countsExactly(page: number): boolean {
    const frees = (op: Operation): boolean => op.kind === "madvise" && op.advice === "FREE";
    const lost = (op: Operation): boolean => drops(op) && covers(op, page);
    return !this.racing.some(lost) && !this.program.setup.some((op) => frees(op) && covers(op, page));
  }

  /** Of an access by operation `index` of a thread. */
  of(thread: number, index: number, op: WordOperation): Expectation {
    const { setup, threads } = this.program;
    const mine = thread === SETUP ? [] : threads[thread]!.operations;
    const earlier = thread === SETUP ? setup.slice(0, index) : [...setup, ...mine.slice(0, index)];
    const others = thread === SETUP ? [] : this.racing.filter((other) => !mine.includes(other));
    return { zero: this.mayBeZero(earlier, others, op.page, op.word), allowed: this.allowed(earlier, others, op) };
  }

  /** Whether a thread's word of a page may be zero when all is over. */
  endsZero(thread: number, page: number, word: number): boolean {
    const mine = this.program.threads[thread]!.operations;
    const others = this.racing.filter((op) => !mine.includes(op));
    return this.mayBeZero([...this.program.setup, ...mine], others, page, word);
  }

  private mayBeZero(earlier: readonly Operation[], others: readonly Operation[], page: number, word: number): boolean {
    return others.some((op) => drops(op) && covers(op, page)) || this.freed(earlier, page, word);
  }

  /** Whether it was given up with MADV_FREE, and not surely written since. */
  private freed(earlier: readonly Operation[], page: number, word: number): boolean {
    let freed = false;
    for (const op of earlier) {
      if (!covers(op, page)) continue;
      if (drops(op)) freed = op.kind === "madvise" && op.advice === "FREE";
      else if (isWord(op) && (op.kind === "store" || op.kind === "add") && op.word === word && !this.mayFault(page)) freed = false;
    }
    return freed;
  }

  private allowed(earlier: readonly Operation[], others: readonly Operation[], { page, kind }: WordOperation): boolean | null {
    if (kind.startsWith("device")) return null;
    if (others.some((other) => guards(other) && covers(other, page))) return null;
    // mprotect() ends at a hole, so that what lies behind keeps what it had.
    if (this.protects && this.all.some((op) => op.kind === "munmap")) return null;
    let access: Access = "all";
    for (const before of earlier) {
      if (!covers(before, page)) continue;
      if (before.kind === "munmap") access = "none";
      else if (before.kind === "mmap") access = "all";
      else if (before.kind === "mprotect") access = before.prot === "NONE" ? "none" : before.prot === "READ" ? "read" : "all";
    }
    return access === "all" || (access === "read" && kind === "load");
  }
}
