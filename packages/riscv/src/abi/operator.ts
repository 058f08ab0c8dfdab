import { describeErrno, Errno, O, Op, Sig, SI, signalName, SWITCH, Task, TaskState, WaitQueue, type Atomic, type Kernel, type MaySleep, type Process, type TimerHandle } from "@faultline/kernel";
import type { LinuxMachine } from "./linux.js";

/** One line of the operator, parsed; `$PID` and `$$` are expanded when it runs. */
export type OperatorLine =
  | { readonly kind: "cat"; readonly text: string; readonly paths: readonly string[] }
  | { readonly kind: "echo"; readonly text: string; readonly words: string; readonly path: string | null; readonly append: boolean }
  | { readonly kind: "mkdir"; readonly text: string; readonly paths: readonly string[] }
  | { readonly kind: "kill"; readonly text: string; readonly signal: number; readonly pids: readonly string[] };

/** Where a line's effects go. */
export interface OperatorOutput {
  stdout(bytes: Uint8Array): void;
  /** `LINE: ERRNO (text)`, without a newline. */
  failure(message: string, line: OperatorLine, errno: number): void;
  /** Called before a line runs. */
  begins?(line: OperatorLine): void;
  /** Called when a line is done, whether it failed or not. */
  ended?(line: OperatorLine): void;
}

export interface OperatorSettings {
  readonly before: readonly OperatorLine[];
  /** Pages of 2 MiB that the pool of huge pages has from boot. */
  readonly hugePages: number;
  readonly lines: readonly OperatorLine[];
  readonly timeoutNs: number;
  readonly output: OperatorOutput | null;
}

/* Parsing: the little of a shell's grammar that the lines need. */

interface Word {
  readonly text: string;
  /** > or >>, not quoted. */
  readonly operator: boolean;
}

/** A dollar sign that is not to be expanded, until the line runs. */
const LITERAL_DOLLAR = "\u0000";

/** What a shell would expand or do, and nobody does here. */
const SPECIAL = "|&;<()`*?[";

function special(c: string): string {
  return `"${c}" is not understood (cat, echo, mkdir and kill only, no pipes or patterns)`;
}

function tokenize(line: string): Word[] | string {
  if (/[\0\r\n]/.test(line)) return "a line has no line breaks or NULs in it";
  const words: Word[] = [];
  let at = 0;
  while (at < line.length) {
    const c = line[at]!;
    if (c === " " || c === "\t") {
      at++;
    } else if (c === "#") {
      break;
    } else if (c === ">") {
      const append = line[at + 1] === ">";
      words.push({ text: append ? ">>" : ">", operator: true });
      at += append ? 2 : 1;
    } else {
      let text = "";
      const start = at;
      while (at < line.length && !" \t>".includes(line[at]!)) {
        const ch = line[at]!;
        if (SPECIAL.includes(ch)) {
          return special(ch);
        } else if (ch === "'") {
          const end = line.indexOf("'", at + 1);
          if (end < 0) return "a quote is not closed";
          text += line.slice(at + 1, end).replaceAll("$", LITERAL_DOLLAR);
          at = end + 1;
        } else if (ch === '"') {
          let end = at + 1;
          for (; line[end] !== '"'; end++) {
            if (end >= line.length) return "a quote is not closed";
            if (line[end] === "\\" && '$"\\'.includes(line[end + 1] ?? "x")) {
              end++;
              text += line[end] === "$" ? LITERAL_DOLLAR : line[end];
            } else text += line[end];
          }
          at = end + 1;
        } else if (ch === "\\") {
          const next = line[at + 1];
          if (next === undefined) return "a backslash ends the line";
          text += next === "$" ? LITERAL_DOLLAR : next;
          at += 2;
        } else {
          text += ch;
          at++;
        }
      }
      const unquoted = line.slice(start, at);
      if (line[at] === ">" && /^\d+$/.test(unquoted)) return special(`${unquoted}>`);
      words.push({ text, operator: false });
    }
  }
  return words;
}

const VARIABLES = /\$(?:\{PID\}|PID(?![A-Za-z0-9_])|\$)/g;

function checkVariables(words: readonly Word[]): string | null {
  for (const { text } of words) {
    const unknown = /\$(?:[A-Za-z_{][A-Za-z0-9_]*\}?|[0-9?!@#*-])/.exec(text.replace(VARIABLES, ""));
    if (unknown !== null) return `${unknown[0]} is not known ($PID and $$ are)`;
  }
  return null;
}

/** `9`, `KILL` and `SIGKILL`; 0 if it is none of them. */
function signalNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name) <= 64 ? Number(name) : -1;
  for (let signo = 1; signo <= 31; signo++) {
    const full = signalName(signo);
    if (name.toUpperCase() === full || `SIG${name.toUpperCase()}` === full) return signo;
  }
  return -1;
}

/** Parses a line; a string says in one line why it cannot. Nothing runs. */
export function parseOperatorLine(line: string): OperatorLine | string {
  const words = tokenize(line);
  if (typeof words === "string") return words;
  const unknown = checkVariables(words);
  if (unknown !== null) return unknown;
  const [first, ...rest] = words;
  const text = line.trim();
  if (first === undefined) return "the line is empty";
  if (first.operator) return `a line begins with a command, not with ${first.text}`;
  if (first.text === "echo") return parseEcho(text, rest);
  const redirect = rest.find((w) => w.operator);
  if (redirect !== undefined) return `${redirect.text} is understood with echo only`;
  const operands = rest.map((w) => w.text);
  switch (first.text) {
    case "cat":
    case "mkdir": {
      if (operands.length === 0) return `${first.text} needs a path`;
      const option = operands.find((o) => o.startsWith("-"));
      if (option !== undefined) return `${first.text} takes no options, and ${option} looks like one`;
      return { kind: first.text, text, paths: operands };
    }
    case "kill":
      return parseKill(text, operands);
    default:
      return `${first.text} is not known (cat, echo, mkdir and kill are)`;
  }
}

function parseEcho(text: string, rest: readonly Word[]): OperatorLine | string {
  const at = rest.findIndex((w) => w.operator);
  const words = rest.filter((w, i) => !w.operator && (at < 0 || i !== at + 1)).map((w) => w.text);
  if (words[0] !== undefined && /^-[neE]+$/.test(words[0])) return `echo takes no options, and ${words[0]} looks like one`;
  if (at < 0) return { kind: "echo", text, words: words.join(" "), path: null, append: false };
  const target = rest[at + 1];
  if (target === undefined || target.operator) return `${rest[at]!.text} needs a path`;
  if (rest.filter((w) => w.operator).length > 1) return "one redirection is understood, not several";
  return { kind: "echo", text, words: words.join(" "), path: target.text, append: rest[at]!.text === ">>" };
}

function parseKill(text: string, operands: readonly string[]): OperatorLine | string {
  let signal: number = Sig.SIGTERM;
  let pids = [...operands];
  if (pids[0] === "-s") {
    signal = signalNumber(pids[1] ?? "");
    if (signal < 0) return `${pids[1] ?? "nothing"} is no signal`;
    pids = pids.slice(2);
  } else if (pids[0]?.startsWith("-") === true && pids[0] !== "--") {
    signal = signalNumber(pids[0].slice(1));
    if (signal < 0) return `${pids[0]} is no signal`;
    pids = pids.slice(1);
  }
  // A process group after it has a minus of its own.
  if (pids[0] === "--") pids = pids.slice(1);
  if (pids.length === 0) return "kill needs a process, as in: kill -TERM $PID";
  const bad = pids.find((p) => !/^-?\d+$/.test(p.replace(VARIABLES, "1")));
  if (bad !== undefined) return `${bad} is no process number`;
  return { kind: "kill", text, signal, pids };
}

/* Running. */

const READ_CHUNK = 128 * 1024;
/** What copying takes of machine time: some files have no end (/dev/zero), and a line's time must. */
const COPIED_BYTES_PER_NS = 16;

/** The shell that types the lines, as root: a process of its own whose work is not the users'. */
export class OperatorShell {
  readonly process: Process;
  private readonly k: Kernel;
  private readonly task: Task;
  private readonly turn: WaitQueue;
  /** The task waits for its turn; only then does quiescence mean anything to it. */
  private waiting = false;
  private shutDown = false;

  constructor(
    private readonly linux: LinuxMachine,
    private readonly settings: OperatorSettings,
  ) {
    const { m, k } = linux;
    this.k = k;
    this.turn = new WaitQueue(m);
    const pid = m.sched.allocateTaskId();
    this.process = linux.newProcess(pid, "sh", linux.initProcess, true);
    this.task = new Task(pid, "sh", m.sched.leastLoadedCpu(), this.body(), { process: this.process, memcg: m.memcgs.root });
    this.process.threads.add(this.task);
    m.tasks.set(pid, this.task);
  }

  /** True when the last line was done and the machine halted for it. */
  get hasShutDown(): boolean {
    return this.shutDown;
  }

  start(): void {
    const { m } = this.k;
    m.sched.start(this.task);
    m.sched.onQuiescent = () => {
      if (!this.waiting || this.kernelIsBusy()) return false;
      this.waiting = false;
      this.turn.wakeAll();
      return true;
    };
  }

  /** Kernel threads and devices finish what they are at, I/O included: a guest may wait for just that. */
  private kernelIsBusy(): boolean {
    const { m } = this.k;
    if (m.sched.executors.some((e) => e.hasWork)) return true;
    for (const { isUser, state } of m.tasks.values()) {
      if (isUser && (state === TaskState.Uninterruptible || state === TaskState.Killable)) return true;
    }
    return false;
  }

  private *body(): MaySleep<void> {
    const { m } = this.k;
    const { settings } = this;
    if (settings.hugePages > 0) yield* this.k.hugetlbPool.setMaxHugePages(this.k, m.hugetlb.defaultHstate, settings.hugePages);
    for (const line of settings.before) yield* this.execute(line);
    this.linux.startProgram(this.process);
    for (const line of settings.lines) {
      yield* this.waitForTurn();
      yield* this.execute(line);
    }
    // The shutdown is a line as the others: what the last one set in motion comes to its end first.
    // Without lines, quiescence means that nobody will ever wake anybody.
    yield* this.waitForTurn();
    this.shutDown = settings.lines.length > 0;
    m.sched.halt();
  }

  private *waitForTurn(): MaySleep<void> {
    this.waiting = true;
    while (this.waiting) yield* this.turn.sleep(TaskState.Uninterruptible, "quiescence");
  }

  /** Runs one line under its timeout, and reports. */
  *execute(line: OperatorLine): MaySleep<void> {
    const { m } = this.k;
    const { output } = this.settings;
    output?.begins?.(line);
    let timer: TimerHandle | null = m.sched.addTimer(m.now() + this.settings.timeoutNs, false, () => {
      timer = null;
      m.signals.send(this.process, this.task, { signo: Sig.SIGINT, code: SI.USER, addr: 0 });
    });
    const result = yield* this.perform(line);
    timer?.cancel();
    yield* this.forgetSignals();
    if (result < 0) output?.failure(`${line.text}: ${describeErrno(-result)}`, line, -result);
    output?.ended?.(line);
  }

  /** What the shell has been sent, by its timer or by itself, is over with the line. */
  private *forgetSignals(): Atomic<void> {
    const { process, task } = this;
    if (this.k.m.point(Op.Wake, task.id)) yield SWITCH;
    task.pendingSignals.clear();
    task.thread.signalInfo.clear();
    process.sharedPending.clear();
    process.sharedSignalInfo.clear();
  }

  private *perform(line: OperatorLine): MaySleep<number> {
    switch (line.kind) {
      case "cat":
        for (const path of line.paths) {
          const error = yield* this.cat(this.expand(path));
          if (error < 0) return error;
        }
        return 0;
      case "echo":
        return yield* this.echo(line);
      case "mkdir":
        for (const path of line.paths) {
          const error = yield* this.k.m.vfs.mkdir(this.k, this.expand(path), 0o777);
          if (error < 0) return error;
        }
        return 0;
      case "kill":
        for (const pid of line.pids) {
          const error = yield* this.k.signal.kill(this.k, Number(this.expand(pid)), line.signal);
          if (error < 0) return error;
        }
        return 0;
    }
  }

  /** Paths and what is written are bytes; a line is text. */
  private expand(text: string): string {
    const pid = String(this.linux.program?.pid ?? "");
    const expanded = text.replace(VARIABLES, (v) => (v === "$$" ? String(this.process.pid) : pid)).replaceAll(LITERAL_DOLLAR, "$");
    return Array.from(new TextEncoder().encode(expanded), (byte) => String.fromCharCode(byte)).join("");
  }

  private *cat(path: string): MaySleep<number> {
    const { k } = this;
    const { vfs } = k.m;
    const file = yield* vfs.open(k, path, O.RDONLY, 0);
    if (typeof file === "number") return file;
    let n: number;
    do {
      const chunk = new Uint8Array(READ_CHUNK);
      n = yield* vfs.read(k, file, chunk);
      if (n > 0) this.settings.output?.stdout(chunk.subarray(0, n));
      k.m.charge(Math.ceil(Math.max(n, 0) / COPIED_BYTES_PER_NS));
      if (k.m.signals.pending(this.task)) n = -Errno.EINTR;
    } while (n > 0);
    yield* vfs.put(k, file);
    return n;
  }

  private *echo(line: OperatorLine & { kind: "echo" }): MaySleep<number> {
    const { k } = this;
    const { vfs } = k.m;
    const bytes = Uint8Array.from(`${this.expand(line.words)}\n`, (c) => c.charCodeAt(0));
    if (line.path === null) {
      this.settings.output?.stdout(bytes);
      return 0;
    }
    const flags = O.WRONLY | O.CREAT | (line.append ? O.APPEND : O.TRUNC);
    const file = yield* vfs.open(k, this.expand(line.path), flags, 0o666);
    if (typeof file === "number") return file;
    const n = yield* vfs.write(k, file, bytes);
    yield* vfs.put(k, file);
    return n < 0 ? n : 0;
  }
}
