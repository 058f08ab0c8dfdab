import { Event, Op, Space, SPACE_OF, type EventSink, type LockObserver, type Machine, type Task } from "@faultline/kernel";
import { CallLog } from "./calls.js";
import type { Step } from "./violation.js";
import { describeStep } from "./words.js";

/** Who looks on while an execution is recorded. `m` is where the threads are about to start. */
export type Watch = (m: Machine) => { readonly sink: EventSink; readonly locks?: LockObserver | null };

/** Two that listen, the first of them first. */
export class Tee implements EventSink {
  constructor(
    private readonly first: EventSink,
    private readonly second: EventSink,
  ) {}

  point(executor: number, op: number, object: number): void {
    this.first.point(executor, op, object);
    this.second.point(executor, op, object);
  }

  touches(executor: number, op: number, object: number): void {
    this.first.touches?.(executor, op, object);
    this.second.touches?.(executor, op, object);
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    this.first.emit(event, a, b, c, d, e, f, g);
    this.second.emit(event, a, b, c, d, e, f, g);
  }
}

/** Writes an execution down: each point and event, in which function, and what it is about in words. */
export class ExecutionRecorder implements EventSink, LockObserver {
  /** Steps when the rule was seen to be broken. */
  decisive = 0;
  /** Who ran then; null when all threads had ended. */
  at: Pick<Step, "executor" | "thread"> | null = null;
  /** What the scenario called meanwhile. */
  readonly calls = new CallLog(() => this.recorded.length);
  private readonly recorded: Step[] = [];
  private readonly lockNames = new Map<number, string>();
  private m!: Machine;
  private checker!: LockObserver;
  private watching: LockObserver | null = null;

  constructor(private readonly watch: Watch | null) {}

  /** A machine has been built; `checker` is told of its locks too. */
  listen(m: Machine, checker: LockObserver): LockObserver {
    this.m = m;
    this.checker = checker;
    return this;
  }

  /** The threads are about to start; `checker` is told of events too. */
  start(checker: EventSink): EventSink {
    const both = new Tee(this, checker);
    if (this.watch === null) return both;
    const { sink, locks = null } = this.watch(this.m);
    this.watching = locks;
    return new Tee(sink, both);
  }

  /** A rule is broken now. */
  decide(): void {
    const { tasks, executor, current } = this.m;
    this.decisive = this.recorded.length;
    this.at = tasks.size === 0 || executor === null || current === null ? null : { executor: executor.name, thread: current.comm };
  }

  /** Locks are named after the fact: one has no class until it is taken. */
  steps(): Step[] {
    return this.recorded.map((step) => {
      const { op, object } = step;
      const name = this.lockNames.get(object);
      const space = SPACE_OF[Op[op as keyof typeof Op]];
      return space === Space.Lock && name !== undefined ? { ...step, words: step.words.replace(`lock ${object}`, name) } : step;
    });
  }

  point(_executor: number, op: number, object: number): void {
    this.step(Op[op] ?? String(op), object, describeStep(this.m, op, object));
  }

  emit(event: Event, a: number, b: number, c: number): void {
    // What tracing functions adds is not what happens.
    if (event === Event.FuncEntry || event === Event.FuncExit) return;
    this.step(`[${Event[event]} ${a} ${b} ${c}]`, a, "");
  }

  acquired(task: Task, cls: string, id: number, trylock?: boolean): void {
    this.lockNames.set(id, cls);
    this.checker.acquired(task, cls, id, trylock);
    this.watching?.acquired(task, cls, id, trylock);
  }

  mayWait(task: Task, cls: string, id: number): void {
    this.checker.mayWait(task, cls, id);
    this.watching?.mayWait(task, cls, id);
  }

  released(task: Task, cls: string, id: number): void {
    this.checker.released(task, cls, id);
    this.watching?.released(task, cls, id);
  }

  private step(op: string, object: number, words: string): void {
    const { executor, current, ftrace } = this.m;
    const fn = current?.kstack.at(-1);
    this.recorded.push({ executor: executor?.name ?? "", thread: current?.comm ?? "", op, object, words, function: fn === undefined ? "" : (ftrace?.names[fn] ?? "") });
  }
}
