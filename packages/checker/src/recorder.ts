import { Event, Op, Space, SPACE_OF, type DeviceMirror, type EventSink, type Kernel, type LockObserver, type Machine, type Task } from "@faultline/kernel";
import { CallLog } from "./calls.js";
import { LockHolders } from "./holders.js";
import { describeRepetition } from "./repetition.js";
import { StateWatch, type PageState, type StateChange } from "./state.js";
import type { About, Step } from "./violation.js";
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

/** A state, what of it counts as a change, and the step by which it came about, an index; null for the first. */
interface Seen {
  readonly state: PageState;
  readonly text: string;
  readonly by: number | null;
}

/** Writes an execution down: each point and event, in which function, and what it is about in words. */
export class ExecutionRecorder implements EventSink, LockObserver {
  /** Who holds and invalidates what at this moment. */
  holders!: LockHolders;
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
  private states: StateWatch | null = null;
  /** The last two states of what it is about that were different. */
  private last: Seen | null = null;
  private previous: Seen | null = null;
  /** The last point of each executor, by name, and the state there. */
  private readonly lastPoint = new Map<string, { readonly step: number; readonly seen: Seen | null }>();

  /** @param about what the rule that will be broken is about, where that is known */
  constructor(
    private readonly watch: Watch | null,
    private readonly about: About | null,
  ) {}

  /** A machine has been built; `checker` is told of its locks too. */
  listen(k: Kernel, mirrors: readonly DeviceMirror[], checker: LockObserver): LockObserver {
    this.m = k.m;
    this.checker = checker;
    this.holders = new LockHolders(k.m);
    if (this.about !== null) this.states = new StateWatch(k, mirrors, this.about, this.holders);
    return this;
  }

  /** The threads are about to start, and what the setup did is past; `checker` is told of events too. */
  start(checker: EventSink): EventSink {
    this.recorded.length = 0;
    this.lastPoint.clear();
    this.last = this.previous = null;
    const both = new Tee(this, checker);
    if (this.watch === null) return both;
    const { sink, locks = null } = this.watch(this.m);
    this.watching = locks;
    return new Tee(sink, both);
  }

  /** A rule is broken now. */
  decide(): void {
    const { tasks, executor, current } = this.m;
    this.look();
    this.states = null;
    this.decisive = this.recorded.length;
    this.at = tasks.size === 0 || executor === null || current === null ? null : { executor: executor.name, thread: current.comm };
  }

  /**
   * What the rule is about, when it was seen to be broken and before: ahead of the step that showed
   * it, which others may have come in between of; ahead of the last step that changed anything,
   * where that is the same.
   */
  get state(): StateChange | null {
    const { last, previous } = this;
    if (last === null) return null;
    const own = this.at === null ? undefined : this.lastPoint.get(this.at.executor);
    if (own?.seen != null && own.seen.text !== last.text) return { before: own.seen.state, after: last.state, step: own.step };
    return { before: (previous ?? last).state, after: last.state, step: previous === null ? null : last.by };
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

  /** What a task that does not come to an end does all the time, in words. */
  repeats(task: Task): string {
    return describeRepetition(this.recorded, task.executor.name, task.comm);
  }

  point(_executor: number, op: number, object: number): void {
    this.look();
    if (this.states !== null) this.lastPoint.set(this.m.executor?.name ?? "", { step: this.recorded.length, seen: this.last });
    this.step(Op[op] ?? String(op), object, describeStep(this.m, op, object));
  }

  emit(event: Event, a: number, b: number, c: number): void {
    // What tracing functions adds is not what happens.
    if (event === Event.FuncEntry || event === Event.FuncExit) return;
    this.holders.emit(event, a, b);
    this.step(`[${Event[event]} ${a} ${b} ${c}]`, a, "");
  }

  acquired(task: Task, cls: string, id: number, trylock?: boolean): void {
    this.lockNames.set(id, cls);
    this.holders.acquired(task, cls, id);
    this.checker.acquired(task, cls, id, trylock);
    this.watching?.acquired(task, cls, id, trylock);
  }

  mayWait(task: Task, cls: string, id: number): void {
    this.checker.mayWait(task, cls, id);
    this.watching?.mayWait(task, cls, id);
  }

  released(task: Task, cls: string, id: number): void {
    this.holders.released(task, cls, id);
    this.checker.released(task, cls, id);
    this.watching?.released(task, cls, id);
  }

  sleepsInAtomic(task: Task, what: string, sleeps: boolean): void {
    this.checker.sleepsInAtomic?.(task, what, sleeps);
  }

  needs(task: Task, cls: string, id: number, what: string): void {
    this.checker.needs?.(task, cls, id, what);
  }

  waitsInCallback(task: Task, what: string): void {
    this.checker.waitsInCallback?.(task, what);
  }

  /** What has happened since the point before was done by who runs now: by what it announced last. */
  private look(): void {
    if (this.states === null) return;
    const state = this.states.look();
    const { folio } = state;
    // Flags come and go with everything: the lists that a folio is on, whether it was used of late.
    const text = JSON.stringify({ ...state, folio: folio === null ? null : { ...folio, flags: [] } });
    if (text === this.last?.text) {
      this.last = { ...this.last, state };
      return;
    }
    this.previous = this.last;
    this.last = { state, text, by: this.lastPoint.get(this.m.executor?.name ?? "")?.step ?? null };
  }

  private step(op: string, object: number, words: string): void {
    const { executor, current, ftrace } = this.m;
    const fn = current?.kstack.at(-1);
    this.recorded.push({ executor: executor?.name ?? "", thread: current?.comm ?? "", op, object, words, function: fn === undefined ? "" : (ftrace?.names[fn] ?? "") });
  }
}
