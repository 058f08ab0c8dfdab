import type { Task } from "@faultline/kernel";
import type { Finding } from "./violation.js";

/*
 * What the context that code runs in forbids. The types of Atomic generators keep most of it from
 * compiling; overlays that cast them away, and notifier callbacks, are found here.
 */

/** A task that holds a spinlock, or is inside an RCU section, sleeps, or calls what may. `held`: names of the locks that it has. */
export function sleptInAtomic(task: Task, held: readonly string[], what: string, sleeps: boolean): Finding {
  const inside: string[] = [];
  if (task.preemptCount > 0) inside.push(`${task.preemptCount === 1 ? "a spinlock" : `${task.preemptCount} spinlocks`} (it holds ${held.join(", ")})`);
  if (task.rcuNesting > 0) inside.push("an RCU read-side section");
  if (task.nonBlockCount > 0) inside.push("a notifier's callback for a range that is not blockable (mmu_notifier_range_blockable())");
  const does = sleeps ? `gives up its CPU${what === "" ? "" : ` (waiting for ${what})`}` : `calls what may sleep (${what})`;
  const log = sleeps ? "scheduling while atomic" : "sleeping function called from invalid context";
  return { kind: "atomic-sleep", message: `${task.comm} ${does} inside ${inside.join(" and ")}: ${log}` };
}

/** A task calls what needs a lock that it does not hold. */
export function calledUnlocked(task: Task, lock: string, what: string): Finding {
  return { kind: "lock-held", message: `${task.comm} calls ${what}() without ${lock}` };
}

/** How a call that reads an address space ends inside an invalidate callback of it. */
const IN_CALLBACK: Readonly<Record<string, string>> = {
  hmm_range_fault: "calls hmm_range_fault()",
  mmu_interval_read_begin: "calls mmu_interval_read_begin(), to read with hmm_range_fault(),",
  mmu_interval_notifier_remove: "calls mmu_interval_notifier_remove(), which waits for the callback to return,",
  mmap_lock: "asks for mmap_lock, under which hmm_range_fault() runs,",
};

/** A notifier callback faults in the range that is being invalidated. */
export function faultedInCallback(task: Task, what: string): Finding {
  return {
    kind: "notifier-recursion",
    message:
      `${task.comm} ${IN_CALLBACK[what] ?? `calls ${what}`} inside an invalidate callback of the same address space, where the notifier's sequence is odd ` +
      "until the callback has returned, so that it can only get -EBUSY for ever, or wait for this invalidation or its locks for ever",
    about: { mm: task.invalidating!.id },
  };
}
