import { Event } from "@faultline/kernel";
import { EVENTS, NameKind, Names, type TraceConsumer } from "@faultline/trace";
import type { Lane, MarkKind, MarkRow, SpanKind, SpanRow, TimelineData } from "../core/protocol.js";
import type { StepTimes } from "../core/times.js";
import { Numbers } from "./numbers.js";

/** Calls deeper than this are drawn as part of what calls them. */
const DEPTH_MAX = 24;
/** What comes behind so many lanes of a kind shares the last one. */
const LANES_MAX = 256;
/** Rows of locks that are held at once. */
const HELD_MAX = 6;

const RECLAIM: Readonly<Partial<Record<Event, readonly [name: string, begins: boolean, key: number]>>> = {
  [Event.MmVmscanKswapdWake]: ["kswapd", true, 0],
  [Event.MmVmscanKswapdSleep]: ["kswapd", false, 0],
  [Event.MmVmscanDirectReclaimBegin]: ["direct reclaim", true, 1],
  [Event.MmVmscanDirectReclaimEnd]: ["direct reclaim", false, 1],
  [Event.MmVmscanMemcgReclaimBegin]: ["memcg reclaim", true, 2],
  [Event.MmVmscanMemcgReclaimEnd]: ["memcg reclaim", false, 2],
};

/** Names that a row can tell apart; a trace with more of them shares the last. */
const STRINGS_MAX = 1 << 16;
/** Steps of one part of `StepTimes`. */
const PART = 4096;

class Row {
  readonly starts = new Numbers(Uint32Array);
  readonly ends = new Numbers(Uint32Array);
  readonly names = new Numbers(Uint16Array);
  /** The span that has not ended. */
  open = false;

  constructor(
    readonly label: string,
    readonly kind: SpanKind,
  ) {}

  begin(step: number, name: number): void {
    if (this.open) this.end(step);
    this.starts.push(step);
    this.ends.push(step + 1);
    this.names.push(name);
    this.open = true;
  }

  /** `end` is the first step behind. */
  end(end: number): void {
    if (!this.open) return;
    this.ends.set(this.ends.length - 1, Math.max(end, this.starts.get(this.starts.length - 1) + 1));
    this.open = false;
  }

  done(): SpanRow {
    return { label: this.label, kind: this.kind, starts: this.starts.done(), ends: this.ends.done(), names: this.names.done() };
  }
}

class Marks {
  readonly steps = new Numbers(Uint32Array);
  readonly names = new Numbers(Uint16Array);

  constructor(private readonly kind: MarkKind) {}

  done(): MarkRow {
    return { kind: this.kind, steps: this.steps.done(), names: this.names.done() };
  }
}

class TaskLane {
  readonly calls: Row[] = [];
  readonly held: Row[] = [];
  readonly waits = new Row("waits for", "wait");
  readonly invalidations: Row[] = [];
  readonly marks: Readonly<Record<MarkKind, Marks>> = { fault: new Marks("fault"), tlb: new Marks("tlb"), event: new Marks("event") };
  private readonly stack: number[] = [];
  private readonly locks: (number | null)[] = [];
  private invalidating = 0;

  constructor(
    readonly group: Lane["group"],
    public label: string,
  ) {}

  enter(step: number, key: number, name: number): void {
    const depth = this.stack.push(key) - 1;
    if (depth >= DEPTH_MAX) return;
    (this.calls[depth] ??= new Row(depth === 0 ? "calls" : "", "call")).begin(step, name);
  }

  /** Leaves the innermost of that key and whatever was called in it. */
  leave(step: number, key: number): void {
    const at = this.stack.lastIndexOf(key);
    if (at < 0) return;
    for (let depth = this.stack.length - 1; depth >= at; depth--) this.calls[depth]?.end(step + 1);
    this.stack.length = at;
  }

  take(step: number, key: number, name: number): void {
    const free = this.locks.indexOf(null);
    const at = free >= 0 ? free : this.locks.length;
    if (at >= HELD_MAX) return;
    this.locks[at] = key;
    (this.held[at] ??= new Row(at === 0 ? "holds" : "", "held")).begin(step, name);
  }

  drop(step: number, key: number): void {
    const at = this.locks.lastIndexOf(key);
    if (at < 0) return;
    this.locks[at] = null;
    this.held[at]!.end(step + 1);
  }

  invalidate(step: number, name: number): void {
    const at = Math.min(this.invalidating++, 3);
    (this.invalidations[at] ??= new Row(at === 0 ? "notifier" : "", "invalidate")).begin(step, name);
  }

  invalidated(step: number): void {
    if (this.invalidating > 0) this.invalidations[Math.min(--this.invalidating, 3)]!.end(step + 1);
  }

  mark(step: number, kind: MarkKind, name: number): void {
    const { steps, names } = this.marks[kind];
    steps.push(step);
    names.push(name);
  }

  exit(step: number): void {
    for (const row of this.rows) row.end(step + 1);
    this.stack.length = 0;
    this.locks.fill(null);
    this.invalidating = 0;
  }

  get rows(): Row[] {
    return [...this.calls, ...this.held, this.waits, ...this.invalidations];
  }

  /** Spans and marks. */
  get size(): number {
    const marks = Object.values(this.marks).reduce((sum, { steps }) => sum + steps.length, 0);
    return this.rows.reduce((sum, { starts }) => sum + starts.length, marks);
  }

  private doneMarks(): MarkRow[] {
    return Object.values(this.marks)
      .filter(({ steps }) => steps.length > 0)
      .map((marks) => marks.done());
  }

  done(): Lane {
    const rows = this.rows.filter(({ starts }) => starts.length > 0);
    return { group: this.group, name: this.label, rows: rows.map((row) => row.done()), marks: this.doneMarks() };
  }
}

/** The key of a call or a lock in the lists of a lane: its number, and what it is a number of. */
enum Key {
  Syscall,
  Function,
  Reclaim,
  Lock,
  MmapLock,
  Folio,
}

function keyOf(kind: Key, id: number): number {
  return id * 8 + kind;
}

const MARKED: Readonly<Partial<Record<Event, MarkKind>>> = {
  [Event.PageFaultUser]: "fault",
  [Event.PageFaultKernel]: "fault",
  [Event.TlbFlush]: "tlb",
};

/** Times of steps as they come. */
class TimesBuilder {
  private readonly starts = new Numbers(Uint32Array);
  private readonly bases = new Numbers(Float64Array);
  private readonly offsets: Uint32Array;
  private step = 0;
  private start = 0;
  private base = 0;

  constructor(events: number) {
    this.offsets = new Uint32Array(events);
  }

  push(time: number): void {
    const step = this.step++;
    const offset = time - this.base;
    if (step === 0 || step - this.start === PART || offset < 0 || offset >= 2 ** 32) {
      this.starts.push((this.start = step));
      this.bases.push((this.base = time));
    } else this.offsets[step] = offset;
  }

  done(): StepTimes {
    return { starts: this.starts.done(), bases: this.bases.done(), offsets: this.offsets };
  }
}

/** Makes lanes and columns of a trace as it is read through once. */
export class TimelineBuilder implements TraceConsumer {
  readonly names = new Names();
  /** How many there have been. */
  step = 0;
  private readonly times: TimesBuilder;
  private readonly strings: string[] = [];
  private readonly stringIds = new Map<string, number>();
  private readonly executorLanes = new Map<number, TaskLane>();
  private readonly running = new Map<number, Row>();
  private readonly deviceLanes = new Map<number, TaskLane>();
  private readonly taskLanes = new Map<number, TaskLane>();
  private readonly functionNames = new Map<number, number>();
  private readonly eventNames: number[] = [];
  private further: TaskLane | null = null;

  /** @param deviceOf which device a notifier's mirror is of, with its name */
  constructor(
    private readonly events: number,
    private readonly locks: boolean,
    private readonly deviceOf: (notifier: number) => { readonly device: number; readonly name: string } | undefined,
  ) {
    this.times = new TimesBuilder(events);
  }

  name(kind: NameKind, id: number, text: string): void {
    this.names.set(kind, id, text);
    if (kind === NameKind.Function) this.functionNames.delete(id);
    if (kind === NameKind.Task) {
      const lane = this.taskLanes.get(id);
      if (lane !== undefined && lane !== this.further) lane.label = `${text} [${id}]`;
    }
  }

  event(time: number, executor: number, task: number, event: Event, a: number, b: number, c: number): void {
    const step = this.step++;
    if (step >= this.events) return;
    this.times.push(time);
    if (!this.span(step, executor, task, event, a, b, c)) this.pointLane(event, task, executor, a, c).mark(step, MARKED[event] ?? "event", this.eventName(event));
  }

  done(): TimelineData {
    const end = this.step;
    for (const row of this.running.values()) row.end(end);
    for (const lane of [...this.taskLanes.values(), ...this.deviceLanes.values()]) for (const row of lane.rows) row.end(end);
    const byNumber = <T>(map: Map<number, T>): T[] => [...map].sort(([x], [y]) => x - y).map(([, value]) => value);
    const cpus = [...this.executorLanes].sort(([x], [y]) => x - y).map(([id, lane]): Lane => ({ ...lane.done(), rows: [this.running.get(id)!.done()] }));
    // Those that do most come first; kernel threads mostly wait.
    const busiest = [...new Set(byNumber(this.taskLanes))].sort((x, y) => y.size - x.size);
    const rest = [...byNumber(this.deviceLanes), ...busiest].map((lane) => lane.done());
    return { strings: this.strings, lanes: [...cpus, ...rest].filter(({ rows, marks }) => rows.length > 0 || marks.length > 0), times: this.times.done() };
  }

  private span(step: number, executor: number, task: number, event: Event, a: number, b: number, c: number): boolean {
    const run = this.runRow(executor);
    switch (event) {
      case Event.SchedSwitch:
        run.end(step);
        if (c !== 0) run.begin(step, this.string(this.taskName(c)));
        return true;
      case Event.SysEnter:
        this.lane(task).leave(step - 1, keyOf(Key.Syscall, 0));
        this.lane(task).enter(step, keyOf(Key.Syscall, 0), this.string(this.names.get(NameKind.Syscall, a) ?? `syscall ${a}`));
        return true;
      case Event.SysExit:
        this.lane(task).leave(step, keyOf(Key.Syscall, 0));
        return true;
      case Event.FuncEntry:
        this.lane(task).enter(step, keyOf(Key.Function, a), this.functionName(a));
        return true;
      case Event.FuncExit:
        this.lane(task).leave(step, keyOf(Key.Function, a));
        return true;
      case Event.SchedProcessExit:
        this.lane(task).exit(step);
        return false;
      case Event.InvalidateStart:
        this.lane(task).invalidate(step, this.string("mmu_notifier_invalidate_range"));
        return true;
      case Event.InvalidateEnd:
        this.lane(task).invalidated(step);
        return true;
      case Event.ContentionBegin:
        this.lane(task).waits.begin(step, this.string(this.names.get(NameKind.LockClass, c) ?? "a lock"));
        return true;
      case Event.ContentionEnd:
        this.lane(task).waits.end(step + 1);
        return true;
      case Event.LockAcquired:
        this.lane(c).take(step, keyOf(Key.Lock, a), this.string(this.names.get(NameKind.LockClass, b) ?? "lock"));
        return true;
      case Event.LockRelease:
        this.lane(task).drop(step, keyOf(Key.Lock, a));
        return true;
      case Event.MmapLockAcquireReturned:
        if (!this.locks && c !== 0) this.lane(task).take(step, keyOf(Key.MmapLock, a), this.string("mmap_lock"));
        return !this.locks;
      case Event.MmapLockReleased:
        if (!this.locks) this.lane(task).drop(step, keyOf(Key.MmapLock, a));
        return !this.locks;
      case Event.FolioLock:
        if (this.locks || (b === 0 && c === 0)) return false;
        if (b === 0) this.lane(task).take(step, keyOf(Key.Folio, a), this.string("folio lock"));
        else this.lane(task).drop(step, keyOf(Key.Folio, a));
        return true;
       
      default: {
        const reclaim = RECLAIM[event];
        if (reclaim === undefined) return false;
        if (reclaim[1]) this.lane(task).enter(step, keyOf(Key.Reclaim, reclaim[2]), this.string(reclaim[0]));
        else this.lane(task).leave(step, keyOf(Key.Reclaim, reclaim[2]));
        return true;
      }
    }
  }

  private pointLane(event: Event, task: number, executor: number, a: number, c: number): TaskLane {
    switch (event) {
      case Event.TlbFlush:
        // Whose TLB it is, whoever asks for it.
        return this.executorLane(c);
      case Event.DeviceAccess:
      case Event.DeviceInvalidate:
      case Event.DeviceClose:
        return this.deviceLane(a, this.names.get(NameKind.Device, a) ?? `device ${a}`);
      case Event.DeviceMap:
      case Event.DeviceUnmap: {
        const mirror = this.deviceOf(a);
        return mirror === undefined ? this.lane(task) : this.deviceLane(mirror.device, mirror.name);
      }
       
      default:
        if (task !== 0) return this.lane(task);
        return this.executorLane(executor);
    }
  }

  private executorLane(executor: number): TaskLane {
    this.runRow(executor);
    return this.executorLanes.get(Math.min(executor, LANES_MAX))!;
  }

  private runRow(executor: number): Row {
    executor = Math.min(executor, LANES_MAX);
    let row = this.running.get(executor);
    if (row === undefined) {
      this.running.set(executor, (row = new Row("", "run")));
      this.executorLanes.set(executor, new TaskLane("CPUs and engines", this.names.get(NameKind.Executor, executor) ?? `executor ${executor}`));
    }
    return row;
  }

  private deviceLane(device: number, name: string): TaskLane {
    device = Math.min(device, LANES_MAX);
    let lane = this.deviceLanes.get(device);
    if (lane === undefined) this.deviceLanes.set(device, (lane = new TaskLane("Devices", name)));
    return lane;
  }

  private lane(task: number): TaskLane {
    let lane = this.taskLanes.get(task);
    if (lane !== undefined) return lane;
    if (this.taskLanes.size < LANES_MAX) lane = new TaskLane("Tasks", `${this.taskName(task)} [${task}]`);
    else lane = this.further ??= new TaskLane("Tasks", "further tasks");
    this.taskLanes.set(task, lane);
    return lane;
  }

  private taskName(task: number): string {
    return this.names.get(NameKind.Task, task) ?? `task ${task}`;
  }

  private functionName(id: number): number {
    let name = this.functionNames.get(id);
    if (name === undefined) this.functionNames.set(id, (name = this.string(this.names.get(NameKind.Function, id) ?? `function ${id}`)));
    return name;
  }

  private eventName(event: Event): number {
    return (this.eventNames[event] ??= this.string(EVENTS[event]!.name));
  }

  private string(text: string): number {
    let id = this.stringIds.get(text);
    if (id === undefined) {
      if (this.strings.length === STRINGS_MAX - 1) text = "…";
      if (this.strings.length === STRINGS_MAX) return STRINGS_MAX - 1;
      this.stringIds.set(text, (id = this.strings.length));
      this.strings.push(text);
    }
    return id;
  }
}
