import type { MaySleep } from "@faultline/kernel";
import { Expectations, SETUP, type Expectation } from "./fuzz_expect.js";
import { LARGE_PAGES } from "./fuzz_generate.js";
import { access, isOther, offsetOf, perform, PROT, type Memory } from "./fuzz_operations.js";
import { covers, drops, isWord, type Operation, type Program, type Watched, type WordOperation } from "./fuzz_program.js";
import { scenario, type Scenario, type ScenarioThread, type ThreadApi } from "./scenario.js";

const PAGE = 4096;
/** What the counter of a populated page begins with: more than all that is added. */
export const COUNTER = 2 ** 30;

interface State extends Memory {
  readonly frames: number[];
  /** What each word must contain: of page 0 the counter and each thread's, then of page 1. */
  readonly expected: number[];
  /** The first that was not so. */
  wrong: string | null;
}

/** A program as a scenario. `onWrong` is told of the word whose contents were wrong first. */
export function scenarioOf(program: Program, title: string, onWrong: (word: Watched) => void = () => undefined): Scenario<State> {
  const expectations = new Expectations(program);
  const threads: Record<string, ScenarioThread<State>> = {};
  program.threads.forEach(({ on, operations }, i) => {
    threads[threadName(program, i)] = {
      on,
      *run(t, s) {
        const held: number[] = [];
        for (let at = 0; at < operations.length; at++) yield* runner.step(t, s, i, at, operations[at]!, held);
        for (const page of held) yield* t.putUserPage(page);
      },
    };
  });
  const runner = new Interpreter(program, expectations, onWrong);
  return scenario<State>({
    title,
    machine: { cpus: program.cpus, devices: program.devices, swapSlots: program.swapSlots },
    setup: (t) => runner.setup(t),
    threads,
    check: (t, s) => runner.check(t, s),
  });
}

export function threadName(program: Program, thread: number): string {
  const { on } = program.threads[thread]!;
  return "cpu" in on ? `cpu${on.cpu}` : `device${on.device}`;
}

class Interpreter {
  private readonly words: number;
  /** By page. */
  private readonly mayFault: readonly boolean[];
  /** By thread, setup first, and operation; null where there is no access. */
  private readonly ahead: readonly (readonly (Expectation | null)[])[];

  constructor(
    private readonly program: Program,
    private readonly expectations: Expectations,
    private readonly onWrong: (word: Watched) => void,
  ) {
    this.words = program.threads.length + 1;
    this.mayFault = Array.from({ length: program.pages }, (_, page) => expectations.mayFault(page));
    const of = (operations: readonly Operation[], thread: number): (Expectation | null)[] => operations.map((op, at) => (isWord(op) ? expectations.of(thread, at, op) : null));
    this.ahead = [of(program.setup, SETUP), ...program.threads.map(({ operations }, thread) => of(operations, thread))];
  }

  *setup(t: ThreadApi): MaySleep<State> {
    const { pages, large, populated, setup } = this.program;
    let base: number;
    if (large) {
      t.k.m.thp.setSizeEnabled(2, "always");
      const size = LARGE_PAGES * PAGE;
      base = Math.ceil((yield* t.mmap(2 * LARGE_PAGES)) / size) * size;
    } else base = yield* t.mmap(pages);
    const s: State = { base, frames: new Array<number>(pages).fill(-1), expected: new Array<number>(pages * this.words).fill(0), wrong: null };
    for (let page = 0; page < pages; page++) {
      if (!populated[page]!) continue;
      yield* t.store32(base + page * PAGE, COUNTER);
      s.expected[page * this.words] = COUNTER;
      s.frames[page] = t.frameOf(base + page * PAGE);
    }
    for (let at = 0; at < setup.length; at++) yield* this.step(t, s, SETUP, at, setup[at]!, []);
    return s;
  }

  *step(t: ThreadApi, s: State, thread: number, at: number, op: Operation, held: number[]): MaySleep<void> {
    if (isOther(op)) {
      yield* perform(t, s, op, held);
      this.dropped(s, thread, op);
      return;
    }
    const seen = yield* access(t, s, op, this.mayFault[op.page]!);
    this.compare(s, op, seen, thread, at);
  }

  *check(t: ThreadApi, s: State): MaySleep<string | null> {
    const { pages } = this.program;
    if (s.wrong !== null) return s.wrong;
    if (this.expectations.protects) yield* t.mprotect(s.base, pages, PROT.READ_WRITE);
    for (let page = 0; page < pages; page++) {
      for (let word = 0; word < this.words; word++) {
        if (!this.isWatched(page, word) || (word === 0 && !this.expectations.countsExactly(page))) continue;
        const seen = yield* t.tryLoad32(s.base + page * PAGE + offsetOf(word));
        const zero = word > 0 && this.expectations.endsZero(word - 1, page, word);
        if (seen !== null) this.contains(s, page, word, seen, zero, "when all is over");
      }
    }
    return s.wrong;
  }

  private compare(s: State, op: WordOperation, seen: number | null, thread: number, at: number): void {
    const { page, word, value } = op;
    const i = page * this.words + word;
    const { zero, allowed } = this.ahead[thread + 1]![at]!;
    if (seen === null) {
      if (allowed === true) this.report(s, page, word, "a signal is raised where the access is allowed");
      return;
    }
    if (allowed === false) return this.report(s, page, word, `a ${op.kind} goes through that is not allowed`);
    switch (op.kind) {
      case "store":
      case "device-store":
        s.expected[i] = value;
        break;
      case "load":
      case "device-load":
        this.contains(s, page, word, seen, zero, `in ${this.name(thread)}`);
        s.expected[i] = seen;
        break;
      case "add":
      case "device-add":
        if (word === 0) {
          s.expected[i]! += value;
          break;
        }
        this.contains(s, page, word, seen, zero, `in ${this.name(thread)}`);
        s.expected[i] = seen + value;
        break;
    }
  }

  private name(thread: number): string {
    return thread === SETUP ? "setup" : threadName(this.program, thread);
  }

  /** What a thread throws away is zero for itself from then on; in setup, for all of them. */
  private dropped(s: State, thread: number, op: Operation): void {
    if (!drops(op) || (op.kind === "madvise" && op.advice === "FREE")) return;
    for (let page = 0; page < this.program.pages; page++) {
      if (!covers(op, page)) continue;
      for (let word = 0; word < this.words; word++) {
        if (thread === SETUP || word === thread + 1) s.expected[page * this.words + word] = 0;
      }
    }
  }

  private contains(s: State, page: number, word: number, seen: number, zero: boolean, when: string): void {
    const expected = s.expected[page * this.words + word]! >>> 0;
    if (seen === expected || (zero && seen === 0)) return;
    this.report(s, page, word, `word ${word} of page ${page} is ${seen} instead of ${expected}${zero ? " or 0" : ""} ${when}`);
  }

  private report(s: State, page: number, word: number, message: string): void {
    if (s.wrong !== null || !this.isWatched(page, word)) return;
    s.wrong = message;
    this.onWrong({ page, word });
  }

  private isWatched(page: number, word: number): boolean {
    const { watched } = this.program;
    return watched === null || (watched.page === page && watched.word === word);
  }
}
