import { Event, type Machine, type Task } from "@faultline/kernel";

/** Who holds which lock, and who invalidates which address space, followed through one execution. */
export class LockHolders {
  private readonly locks = new Map<string, Task[]>();
  private readonly invalidators = new Map<number, Task[]>();
  /** The first page of the last invalidation, by mm. */
  private readonly invalidated = new Map<number, number>();

  constructor(private readonly m: Machine) {}

  acquired(task: Task, cls: string, id: number): void {
    add(this.locks, key(cls, id), task);
  }

  released(task: Task, cls: string, id: number): void {
    remove(this.locks, key(cls, id), task);
  }

  emit(event: Event, a: number, b: number): void {
    const { current } = this.m;
    if (event === Event.InvalidateStart) {
      add(this.invalidators, a, current!);
      this.invalidated.set(a, b);
    } else if (event === Event.InvalidateEnd) remove(this.invalidators, a, current!);
    // The lock of a folio goes with it.
    else if (event === Event.MmPageFree) this.locks.delete(key("folio_lock", a));
  }

  /** Tasks that hold a lock. */
  tasksWith(cls: string, id: number): readonly Task[] {
    return this.locks.get(key(cls, id)) ?? [];
  }

  /** Tasks between the start and the end of an invalidation. */
  tasksInvalidating(mm: number): readonly Task[] {
    return this.invalidators.get(mm) ?? [];
  }

  /** Names of the classes of the locks that a task holds. */
  names(task: Task): string[] {
    return [...this.locks].flatMap(([name, tasks]) => (tasks.includes(task) ? [name.slice(0, name.lastIndexOf(" "))] : []));
  }

  /** The first page that the last invalidation of an mm was for, by number; -1 when there was none. */
  vpnInvalidated(mm: number): number {
    return this.invalidated.get(mm) ?? -1;
  }

  of(cls: string, id: number): string[] {
    return this.tasksWith(cls, id).map(nameOf);
  }

  invalidating(mm: number): string[] {
    return this.tasksInvalidating(mm).map(nameOf);
  }
}

/** A task as reports name it. */
export function nameOf(task: Task): string {
  return `${task.comm} (${task.executor.name})`;
}

function key(cls: string, id: number): string {
  return `${cls} ${id}`;
}

function add<K>(map: Map<K, Task[]>, k: K, task: Task): void {
  const tasks = map.get(k);
  if (tasks === undefined) map.set(k, [task]);
  else tasks.push(task);
}

/** Where the task itself is not there, it was handed over: the first one goes. */
function remove<K>(map: Map<K, Task[]>, k: K, task: Task): void {
  const tasks = map.get(k);
  if (tasks === undefined) return;
  tasks.splice(Math.max(0, tasks.indexOf(task)), 1);
  if (tasks.length === 0) map.delete(k);
}
