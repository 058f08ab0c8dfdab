import { Event, type EventSink, type LockObserver, type Machine, type Task } from "@faultline/kernel";
import { NameKind, Names } from "./names.js";
import { EVENTS } from "./schema.js";

/** Gets what a run leaves behind, in order: live from a machine, or out of a file. */
export interface TraceConsumer {
  /** A number gets a name, ahead of the first event that has it; a later name replaces an earlier. */
  name(kind: NameKind, id: number, text: string): void;
  /**
   * An event at a machine time in nanoseconds, on a CPU or device, in the context of a task (0:
   * none yet). Arguments as `EVENTS` has them, 0 beyond.
   */
  event(
    time: number,
    executor: number,
    task: number,
    event: Event,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    g: number,
  ): void;
}

/** Which argument of an event is a number that must have a name; `null` for most events. */
interface Named {
  readonly at: number;
  readonly kind: NameKind;
}

const KINDS: Readonly<Record<string, NameKind>> = {
  pid: NameKind.Task,
  executor: NameKind.Executor,
  lockClass: NameKind.LockClass,
  function: NameKind.Function,
  device: NameKind.Device,
  syscall: NameKind.Syscall,
};

const NAMED: readonly (readonly Named[] | null)[] = EVENTS.map(({ args }) => {
  const named = args.flatMap(([, kind], at) => (KINDS[kind] === undefined ? [] : [{ at, kind: KINDS[kind] }]));
  return named.length === 0 ? null : named;
});

/**
 * Puts time, place and task to the events of a machine, and names to their numbers. Reads the
 * machine and changes nothing. Points are no events: a run has too many of them.
 */
export class Tracer implements EventSink, LockObserver {
  private readonly names = new Names();
  private task: Task | null = null;
  private executor = -1;

  constructor(
    private readonly m: Machine,
    private readonly consumer: TraceConsumer,
  ) {}

  point(): void {}

  emit(event: Event, a: number, b: number, c: number, d: number, e = 0, f = 0, g = 0): void {
    const { current, executor } = this.m;
    const on = executor === null ? 0 : executor.id;
    if (current !== this.task) {
      this.task = current;
      if (current !== null) this.announce(NameKind.Task, current.id);
    }
    if (on !== this.executor) {
      this.executor = on;
      this.announce(NameKind.Executor, on);
    }
    const named = NAMED[event]!;
    if (named !== null) {
      for (const { at, kind } of named) this.announce(kind, at === 0 ? a : at === 1 ? b : at === 2 ? c : d);
    }
    // A switch belongs to the one who leaves.
    const task = event === Event.SchedSwitch ? a : current === null ? 0 : current.id;
    this.consumer.event(Math.floor(this.m.now()), on, task, event, a, b, c, d, e, f, g);
  }

  /* As the observer of locks, where their events are wanted. */

  acquired(task: Task, cls: string, id: number): void {
    this.emit(Event.LockAcquired, id, this.m.locks.classIndex(cls), task.id, 0);
  }

  mayWait(): void {}

  released(_task: Task, cls: string, id: number): void {
    this.emit(Event.LockRelease, id, this.m.locks.classIndex(cls), 0, 0);
  }

  private announce(kind: NameKind, id: number): void {
    const text = this.textOf(kind, id);
    if (text === undefined || this.names.get(kind, id) === text) return;
    this.names.set(kind, id, text);
    this.consumer.name(kind, id, text);
  }

  private textOf(kind: NameKind, id: number): string | undefined {
    const { m } = this;
    switch (kind) {
      case NameKind.Task:
        return id === 0 ? undefined : (this.findTask(id)?.comm ?? this.names.get(kind, id));
      case NameKind.Executor:
        return m.sched.executors[id]?.name;
      case NameKind.LockClass:
        return m.locks.classes[id];
      case NameKind.Function:
        return m.ftrace?.names[id];
      case NameKind.Syscall:
        // The thread is in it, or has just left it.
        return m.current?.thread.syscall || this.names.get(kind, id);
      case NameKind.Device:
        return m.devices[id]?.name;
    }
  }

  /** Kernel threads are not in the table of tasks. */
  private findTask(id: number): Task | undefined {
    const { m } = this;
    if (m.current?.id === id) return m.current;
    const known = m.tasks.get(id);
    if (known !== undefined) return known;
    for (const { current, queue } of m.sched.executors) {
      if (current?.id === id) return current;
      const waiting = queue.find((task) => task.id === id);
      if (waiting !== undefined) return waiting;
    }
    return undefined;
  }
}
