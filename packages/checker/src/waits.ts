import type { Machine, Task } from "@faultline/kernel";
import { nameOf, type LockHolders } from "./holders.js";
import type { About } from "./violation.js";

/** What one task waits for. */
interface Wait {
  readonly task: Task;
  /** In words: "mmap_lock (write)". */
  readonly what: string;
  /** Those without whom it does not go on. */
  readonly on: readonly Task[];
  /** How they are in the way: "held by". */
  readonly how: string;
  readonly about: About | null;
}

/** Who waits for whom when nobody can run any more, in words; and what it is about. */
export function describeWaits(m: Machine, holders: LockHolders): { readonly message: string; readonly about: About | undefined } {
  const waits = [...m.tasks.values()].map((task) => waitOf(m, holders, task));
  const circle = circleOf(waits);
  const about = (circle ?? waits).find((wait) => wait.about !== null)?.about ?? undefined;
  const others = circle === null ? waits : waits.filter((wait) => !circle.includes(wait));
  const besides = others.map((wait) => textOf(wait, holders));
  if (circle === null) return { message: `nobody can run any more, and there is no circle of locks: ${besides.join("; ")}`, about };
  const around = circle.length === 1 ? `${nameOf(circle[0]!.task)} waits for itself: ` : "a circle of waits: ";
  return { message: around + circle.map((wait) => textOf(wait, holders)).join("; ") + (besides.length === 0 ? "" : `; besides, ${besides.join("; ")}`), about };
}

function textOf({ task, what, on, how }: Wait, holders: LockHolders): string {
  const who = on.map((other) => (other === task ? "itself" : nameOf(other)));
  const held = holders.names(task);
  return `${nameOf(task)} waits for ${what}${who.length === 0 ? "" : `, ${how} ${who.join(" and ")}`}${held.length === 0 ? "" : ` [it holds ${held.join(", ")}]`}`;
}

/** Waits of which each is for the task of the next, and the last for the first's; the first such, or null. */
function circleOf(waits: readonly Wait[]): Wait[] | null {
  const of = new Map(waits.map((wait) => [wait.task, wait]));
  for (const first of waits) {
    const found = follow(first, first, of, [first]);
    if (found !== null) return found;
  }
  return null;
}

function follow(first: Wait, at: Wait, of: ReadonlyMap<Task, Wait>, path: Wait[]): Wait[] | null {
  for (const task of at.on) {
    if (task === first.task) return path;
    const next = of.get(task);
    if (next === undefined || path.includes(next)) continue;
    const found = follow(first, next, of, [...path, next]);
    if (found !== null) return found;
  }
  return null;
}

function waitOf(m: Machine, holders: LockHolders, task: Task): Wait {
  const spins = task.executor.spinsFor;
  if (spins !== null && task.executor.current === task) {
    return { task, what: `spinlock ${spins.cls}`, on: spins.owner === null ? [] : [spins.owner], how: "held by", about: null };
  }
  const site = task.executor.current === task ? m.retries.siteOf(task.executor) : null;
  if (site !== null) return { task, what: `a change that ${site} retries for`, on: [], how: "", about: null };
  const { waitingFor, waitingOn } = task;
  switch (waitingFor) {
    case "":
      return { task, what: "nothing: it could run", on: [], how: "", about: null };
    case "folio_lock":
    case "folio_wait_locked":
    case "migration_entry_wait":
      return lockWait(m, holders, task, "folio_lock", waitingOn, `the folio lock of frame ${waitingOn}`, { page: waitingOn });
    case "vma_start_write":
      return lockWait(m, holders, task, "vma_lock", waitingOn, `the readers of VMA ${waitingOn}`, null);
    case "mmu_interval_read_begin":
    case "mmu_interval_notifier_remove": {
      const on = holders.tasksInvalidating(waitingOn);
      return { task, what: `the end of the invalidation of mm ${waitingOn} (${waitingFor})`, on, how: "begun by", about: { mm: waitingOn } };
    }
    case "synchronize_rcu":
      return { task, what: "an RCU grace period", on: [...m.tasks.values()].filter((other) => other.rcuNesting > 0), how: "not ended by", about: null };
    case "synchronize_srcu":
      return { task, what: "an SRCU grace period", on: [...m.notifierSrcu.nesting.keys()], how: "not ended by", about: null };
    case "userfaultfd":
      return { task, what: `somebody who wakes it by userfaultfd ${waitingOn}`, on: [], how: "", about: null };
    case "userfaultfd_read":
      return { task, what: `a message of userfaultfd ${waitingOn}`, on: [], how: "", about: null };
    case "userfaultfd event":
      return { task, what: `somebody who reads its event from userfaultfd ${waitingOn}`, on: [], how: "", about: null };
    case "folio_wait_writeback":
      return { task, what: `writeback of frame ${waitingOn}`, on: [], how: "", about: { page: waitingOn } };
    default:
      return semaphoreWait(m, holders, task);
  }
}

function lockWait(m: Machine, holders: LockHolders, task: Task, cls: string, id: number, what: string, about: About | null): Wait {
  const all = holders.tasksWith(cls, id);
  const on = all.filter((other) => m.tasks.has(other.id));
  const left = all.length === 0 ? "which nobody holds" : `which ${all.map(nameOf).join(" and ")} held to the end`;
  return { task, what: on.length === 0 ? `${what}, ${left}` : what, on, how: "held by", about };
}

/** For a semaphore or a mutex. A reader of mmap_lock may wait behind a writer who waits for other readers. */
function semaphoreWait(m: Machine, holders: LockHolders, task: Task): Wait {
  const { waitingFor, waitingOn } = task;
  const cls = waitingFor.replace(/ \((read|write)\)$/, "");
  const wait = lockWait(m, holders, task, cls, waitingOn, waitingFor, null);
  const mmapLock = [...m.mms].find((mm) => mm.mmapLock.id === waitingOn)?.mmapLock;
  if (!waitingFor.endsWith(" (read)") || mmapLock === undefined || mmapLock.writer !== null) return wait;
  const writer = [...m.tasks.values()].find((other) => other.waitingOn === waitingOn && other.waitingFor === `${cls} (write)`);
  return writer === undefined ? wait : { ...wait, on: [writer], how: "behind the writer" };
}
