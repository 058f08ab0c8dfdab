import type { Calls } from "./calls.js";
import type { StateChange } from "./state.js";
import type { Decision } from "./strategy.js";

/** What kind of rule an execution broke. */
export type ViolationKind =
  /** A frame was freed while a page table, a TLB or a device could still reach it. */
  | "freed-while-mapped"
  /** A CPU or a device reached a frame that was free. */
  | "use-after-free"
  /** A CPU or a device reached a frame that another device held exclusively. */
  | "exclusive-access"
  /** A folio lock was taken or released on a free folio. */
  | "lock-on-free"
  /** A reference that was not held was dropped, or a count is not what its holders make it. */
  | "refcount"
  | "mapcount"
  | "page-cache"
  | "rss"
  | "memcg"
  | "swap"
  /** A folio is not on the LRU list that it should be on, or a list's counts are wrong. */
  | "lru"
  /** A page that KSM has made can be written, or KSM has lost count of its pages. */
  | "ksm"
  /** A pool of huge pages counts, or has promised, what it has not. */
  | "hugetlb"
  /** A page that should have one mapper has more. */
  | "anon-exclusive"
  /** A pinned page is not, or need not stay, what its process has at its address. */
  | "pin"
  /** A TLB has what the page table does not grant, at rest. */
  | "stale-tlb"
  /** A device's page table has what the CPU's does not back. */
  | "device-table"
  /** Memory of a device is mapped as what it is not, or its driver has lost count of it. */
  | "device-memory"
  /** An entry was changed by somebody who did not hold the lock of its page table. */
  | "page-table-lock"
  /** A reverse walk does not find a mapping of its page. */
  | "rmap"
  /** A page table grants what no VMA does, at rest. */
  | "vma"
  /** A migration entry whose folio is not locked: whoever meets it waits for nothing, or for ever. */
  | "migration-entry"
  /** Something is still locked, under invalidation or allocated when all is over. */
  | "leak"
  | "lock-order"
  /** What must be called with a lock held was called without. */
  | "lock-held"
  /** A task slept, or called what may sleep, with a spinlock or inside an RCU section. */
  | "atomic-sleep"
  /** A driver does not do what the protocol of its notifiers asks, which the message says in words. */
  | "notifier-protocol"
  /** An invalidate callback reads the address space that is being invalidated. */
  | "notifier-recursion"
  | "deadlock"
  | "livelock"
  /** The scenario's own check, a signal that one of its threads got, or a program that failed. */
  | "outcome"
  /** A JavaScript exception out of the engine. */
  | "engine"
  /** Repeating a decision led elsewhere: the exploration means nothing. */
  | "nondeterminism";

/** The rules, in words. */
export const RULES: Readonly<Record<ViolationKind, string>> = {
  "freed-while-mapped": "no frame is freed while a page table, a TLB or a device can still reach it",
  "use-after-free": "no CPU and no device reaches a frame that is free",
  "exclusive-access": "nobody but its owner reaches a frame that a device holds exclusively",
  "lock-on-free": "nobody takes or releases the folio lock of a folio that is free",
  refcount: "a folio has as many references as it has holders",
  "page-cache": "what files have, and what their pages say of it, agree",
  mapcount: "a page has as many mappings as there are entries that map it",
  rss: "a process's RSS is what its page table maps",
  memcg: "a cgroup is charged for the pages and swap slots that it has",
  swap: "a swap slot is in use as often as page-table entries and the swap cache name it",
  lru: "a folio is on the one LRU list that its flags name, and the lists count what they have",
  ksm: "a page that KSM has made can be written nowhere, and KSM counts those that there are",
  hugetlb: "a pool of huge pages counts what it has, and has promised what others count on",
  pin: "a pinned page is the one that its process writes to, and one that is pinned for ever lies where it can stay",
  "anon-exclusive": "a page that is exclusive to one process is mapped once",
  "stale-tlb": "when all is over, no TLB grants what the page table does not",
  "device-table": "a device maps only what the CPU's page table backs",
  "device-memory": "no CPU maps memory that it cannot address, and a device's memory is in use, or free, once each",
  "page-table-lock": "a page-table entry changes only under the lock of its table",
  rmap: "a reverse walk from a page finds each of its mappings",
  vma: "when all is over, the page table grants what the VMAs grant",
  "migration-entry": "the folio behind a migration entry is locked",
  leak: "when all is over, nothing is locked, held or allocated any more",
  "lock-order": "locks are always nested in the same order",
  "lock-held": "what relies on a lock is called with that lock held",
  "atomic-sleep": "nobody sleeps, or calls what may, with a spinlock held or inside an RCU read-side section",
  "notifier-protocol": "a driver drops in its callback, and enters, under its lock, only what mmu_interval_read_retry() has not refused",
  "notifier-recursion": "no invalidate callback reads what is being invalidated",
  deadlock: "there is always somebody who can go on",
  livelock: "whoever retries comes to an end once others have had their turn",
  outcome: "the scenario's own check holds, no thread gets a signal, and every program ends with status 0",
  engine: "the kernel's code throws no exception",
  nondeterminism: "the same decisions lead to the same execution",
};

/** What a finding is about, as far as it is known. */
export interface About {
  /** Id of the address space. */
  readonly mm?: number | undefined;
  /** Virtual page number in it. */
  readonly vpn?: number | undefined;
  /** Frame. */
  readonly page?: number | undefined;
}

/** One rule broken, as an invariant reports it. */
export interface Finding {
  readonly kind: ViolationKind;
  readonly message: string;
  readonly about?: About | undefined;
}

/** One step of an execution: what the executor was about to do when it passed the point. */
export interface Step {
  readonly executor: string;
  readonly thread: string;
  /** Name of the operation, as in `Op`; or of an event or finding, in brackets. */
  readonly op: string;
  /** What the operation is on: see `Op` for what the number means. */
  readonly object: number;
  /** The same in words: "folio lock of frame 6"; empty for events. */
  readonly words: string;
  /** The innermost kernel function, as the kernel spells it; empty outside of all. */
  readonly function: string;
}

/** A broken rule, with all that is needed to see it happen again. */
export interface Violation extends Finding {
  /** Replays the execution: `replay(scenario, decisions, options)`. */
  readonly decisions: readonly Decision[];
  readonly preemptions: number;
  /** Everything that happened from the start of the threads to the end; from that of the setup where that broke the rule. */
  readonly trace: readonly Step[];
  /** How many of its steps had happened when the rule was seen to be broken. */
  readonly decisive: number;
  /** Where it was seen: the executor and thread that ran; null when all threads had ended. */
  readonly at: Pick<Step, "executor" | "thread"> | null;
  /** What the scenario called in that time. */
  readonly calls: Calls;
  /** What the scenario's programs had written by then: lines, each behind the name of its thread. */
  readonly output: readonly string[];
  /** What it is about, before and after; null where that is no page and no address space. */
  readonly state: StateChange | null;
}

/** A trace as text, a line a step, with the turns of the threads set apart. */
export function formatTrace(trace: readonly Step[]): string {
  const lines: string[] = [];
  let thread = "";
  for (const step of trace) {
    if (step.thread !== thread) {
      thread = step.thread;
      lines.push(`${step.thread} (${step.executor}):`);
    }
    lines.push(`    ${step.op} ${step.object}`);
  }
  return lines.join("\n");
}
