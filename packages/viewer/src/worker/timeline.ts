import { Event } from "@faultline/kernel";
import { EVENTS, NameKind, Names, type TraceConsumer } from "@faultline/trace";
import type { Lane, SpanKind, SpanRow, TimelineData } from "../core/protocol.js";
import { Numbers } from "./numbers.js";

/** Calls deeper than this are drawn as part of what calls them. */
const DEPTH_MAX = 24;
/** What comes behind so many lanes of a kind shares the last one. */
const LANES_MAX = 256;
/** Rows of locks that are held at once. */
const HELD_MAX = 6;

const RECLAIM: Readonly<Partial<Record<Event, readonly [name: string, begins: boolean]>>> = {
  [Event.MmVmscanKswapdWake]: ["kswapd", true],
  [Event.MmVmscanKswapdSleep]: ["kswapd", false],
  [Event.MmVmscanDirectReclaimBegin]: ["direct reclaim", true],
  [Event.MmVmscanDirectReclaimEnd]: ["direct reclaim", false],
  [Event.MmVmscanMemcgReclaimBegin]: ["memcg reclaim", true],
  [Event.MmVmscanMemcgReclaimEnd]: ["memcg reclaim", false],
};

class Row {
  readonly starts = new Numbers();
  readonly ends = new Numbers();
  readonly names = new Numbers();
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

class TaskLane {
  readonly calls: Row[] = [];
  readonly held: Row[] = [];
  readonly waits = new Row("waits for", "wait");
  readonly invalidations: Row[] = [];
  readonly points = new Numbers();
  readonly pointNames = new Numbers();
  private readonly stack: string[] = [];
  private readonly locks: (string | null)[] = [];
  private invalidating = 0;

  constructor(
    readonly group: Lane["group"],
    public label: string,
  ) {}

  enter(step: number, key: string, name: number): void {
    const depth = this.stack.push(key) - 1;
    if (depth >= DEPTH_MAX) return;
    (this.calls[depth] ??= new Row(depth === 0 ? "calls" : "", "call")).begin(step, name);
  }

  /** Leaves the innermost of that key and whatever was called in it. */
  leave(step: number, key: string): void {
    const at = this.stack.lastIndexOf(key);
    if (at < 0) return;
    for (let depth = this.stack.length - 1; depth >= at; depth--) this.calls[depth]?.end(step + 1);
    this.stack.length = at;
  }

  take(step: number, key: string, name: number): void {
    const free = this.locks.indexOf(null);
    const at = free >= 0 ? free : this.locks.length;
    if (at >= HELD_MAX) return;
    this.locks[at] = key;
    (this.held[at] ??= new Row(at === 0 ? "holds" : "", "held")).begin(step, name);
  }

  drop(step: number, key: string): void {
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

  point(step: number, name: number): void {
    this.points.push(step);
    this.pointNames.push(name);
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

  /** Spans and points. */
  get size(): number {
    return this.rows.reduce((sum, { starts }) => sum + starts.length, this.points.length);
  }

  done(): Lane {
    const rows = this.rows.filter(({ starts }) => starts.length > 0);
    return { group: this.group, name: this.label, rows: rows.map((row) => row.done()), points: this.points.done(), pointNames: this.pointNames.done() };
  }
}

/** Makes lanes and columns of a trace as it is read through once. */
export class TimelineBuilder implements TraceConsumer {
  readonly names = new Names();
  /** By step. */
  readonly times: Float64Array;
  private step = 0;
  private readonly strings: string[] = [];
  private readonly stringIds = new Map<string, number>();
  private readonly executorLanes = new Map<number, TaskLane>();
  private readonly running = new Map<number, Row>();
  private readonly deviceLanes = new Map<number, TaskLane>();
  private readonly taskLanes = new Map<number, TaskLane>();
  private further: TaskLane | null = null;

  /** @param deviceOf which device a notifier's mirror is of, with its name */
  constructor(
    events: number,
    private readonly locks: boolean,
    private readonly deviceOf: (notifier: number) => { readonly device: number; readonly name: string } | undefined,
  ) {
    this.times = new Float64Array(events);
  }

  name(kind: NameKind, id: number, text: string): void {
    this.names.set(kind, id, text);
    if (kind === NameKind.Task) {
      const lane = this.taskLanes.get(id);
      if (lane !== undefined && lane !== this.further) lane.label = `${text} [${id}]`;
    }
  }

  event(time: number, executor: number, task: number, event: Event, a: number, b: number, c: number): void {
    const step = this.step++;
    if (step >= this.times.length) return;
    this.times[step] = time;
    if (!this.span(step, executor, task, event, a, b, c)) this.pointLane(event, task, executor, a).point(step, this.string(EVENTS[event]!.name));
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
    return { strings: this.strings, lanes: [...cpus, ...rest].filter(({ rows, points }) => rows.length > 0 || points.length > 0), times: this.times };
  }

  private span(step: number, executor: number, task: number, event: Event, a: number, b: number, c: number): boolean {
    const run = this.runRow(executor);
    switch (event) {
      case Event.SchedSwitch:
        run.end(step);
        if (c !== 0) run.begin(step, this.string(this.taskName(c)));
        return true;
      case Event.SysEnter:
        this.lane(task).leave(step - 1, "sys");
        this.lane(task).enter(step, "sys", this.string(this.names.get(NameKind.Syscall, a) ?? `syscall ${a}`));
        return true;
      case Event.SysExit:
        this.lane(task).leave(step, "sys");
        return true;
      case Event.FuncEntry:
        this.lane(task).enter(step, `fn ${a}`, this.string(this.names.get(NameKind.Function, a) ?? `function ${a}`));
        return true;
      case Event.FuncExit:
        this.lane(task).leave(step, `fn ${a}`);
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
        this.lane(c).take(step, `lock ${a}`, this.string(this.names.get(NameKind.LockClass, b) ?? "lock"));
        return true;
      case Event.LockRelease:
        this.lane(task).drop(step, `lock ${a}`);
        return true;
      case Event.MmapLockAcquireReturned:
        if (!this.locks && c !== 0) this.lane(task).take(step, `mmap_lock ${a}`, this.string("mmap_lock"));
        return !this.locks;
      case Event.MmapLockReleased:
        if (!this.locks) this.lane(task).drop(step, `mmap_lock ${a}`);
        return !this.locks;
      case Event.FolioLock:
        if (this.locks || (b === 0 && c === 0)) return false;
        if (b === 0) this.lane(task).take(step, `folio ${a}`, this.string("folio lock"));
        else this.lane(task).drop(step, `folio ${a}`);
        return true;
       
      default: {
        const reclaim = RECLAIM[event];
        if (reclaim === undefined) return false;
        if (reclaim[1]) this.lane(task).enter(step, reclaim[0], this.string(reclaim[0]));
        else this.lane(task).leave(step, reclaim[0]);
        return true;
      }
    }
  }

  private pointLane(event: Event, task: number, executor: number, a: number): TaskLane {
    switch (event) {
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
        this.runRow(executor);
        return this.executorLanes.get(Math.min(executor, LANES_MAX))!;
    }
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

  private string(text: string): number {
    let id = this.stringIds.get(text);
    if (id === undefined) {
      this.stringIds.set(text, (id = this.strings.length));
      this.strings.push(text);
    }
    return id;
  }
}
