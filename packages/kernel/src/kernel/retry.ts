import type { Machine } from "../machine.js";
import type { Executor, Task } from "./sched.js";

/** A loop that can only repeat itself until something that it has read is changed. */
interface Waiting {
  readonly site: string;
  readonly changed: () => boolean;
}

/** How often a task has gone round a loop. */
interface Turns {
  readonly task: Task;
  readonly site: string;
  turns: number;
}

/**
 * Retry loops declare themselves: where they are, and what they have read. An ordinary run goes
 * round at once. While checking, a loop that has seen nothing change is not run again before it
 * has: so each execution ends, and when nobody is left who could change it, that is a livelock.
 * Loops that give up by themselves after so many attempts, as reclaim's do, need not declare it.
 */
export class Retries {
  /** By executor. */
  private readonly waiting: (Waiting | null)[] = [];
  /** Few at a time, as tasks and loops are while checking: so they are a list. */
  private readonly turns: Turns[] = [];
  /** The most turns that any loop has taken. */
  most = 0;

  constructor(private readonly m: Machine) {}

  /**
   * A loop goes round: true when somebody else must run first, and the caller yields SWITCH.
   * Without `changed`, what it has read did change, and made it fail.
   *
   * @param site the function, by its kernel name
   * @param changed reads, and only reads, what made the attempt fail: true when it is different now
   */
  again(site: string, changed?: () => boolean): boolean {
    const { m } = this;
    if (!m.config.checking) return false;
    this.count(site);
    if (changed === undefined || changed()) return false;
    const { id } = m.executor!;
    while (this.waiting.length <= id) this.waiting.push(null);
    this.waiting[id] = { site, changed };
    return true;
  }

  /** For loops that cannot say what they have read: `changed` compares it with another, to see whether anybody has run since. */
  mark(): number {
    return this.m.sched.turns;
  }

  /** True while another turn of the executor's loop would be like the last. A task that is to die goes on. */
  isWaiting(executor: Executor): boolean {
    const entry = executor.id < this.waiting.length ? this.waiting[executor.id]! : null;
    if (entry === null) return false;
    if (!entry.changed() && !this.m.signals.fatalPending(executor.current!)) return true;
    this.waiting[executor.id] = null;
    return false;
  }

  /** The loop that an executor waits in, or null. */
  siteOf(executor: Executor): string | null {
    return this.waiting[executor.id]?.site ?? null;
  }

  private count(site: string): void {
    const task = this.m.current!;
    let entry: Turns | undefined;
    for (const t of this.turns) if (t.task === task && t.site === site) entry = t;
    if (entry === undefined) this.turns.push((entry = { task, site, turns: 0 }));
    entry.turns++;
    if (entry.turns > this.most) this.most = entry.turns;
  }
}
