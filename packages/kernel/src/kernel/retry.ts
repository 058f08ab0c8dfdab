import type { Machine } from "../machine.js";
import type { Executor, Task } from "./sched.js";

/** A loop that can only repeat itself until something that it has read is changed. */
interface Waiting {
  readonly site: string;
  readonly changed: () => boolean;
}

/**
 * Retry loops declare themselves: where they are, and what they have read. An ordinary run goes
 * round at once. While checking, a loop that has seen nothing change is not run again before it
 * has: so each execution ends, and when nobody is left who could change it, that is a livelock.
 * Loops that give up by themselves after so many attempts, as reclaim's do, need not declare it.
 */
export class Retries {
  private readonly waiting = new Map<Executor, Waiting>();
  /** Turns of each loop, by site, for each task. */
  private readonly turns = new Map<Task, Map<string, number>>();
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
    this.waiting.set(m.executor!, { site, changed });
    return true;
  }

  /** True while another turn of the executor's loop would be like the last. A task that is to die goes on. */
  isWaiting(executor: Executor): boolean {
    if (this.waiting.size === 0) return false;
    const entry = this.waiting.get(executor);
    if (entry === undefined) return false;
    if (!entry.changed() && !this.m.signals.fatalPending(executor.current!)) return true;
    this.waiting.delete(executor);
    return false;
  }

  /** The loop that an executor waits in, or null. */
  siteOf(executor: Executor): string | null {
    return this.waiting.get(executor)?.site ?? null;
  }

  private count(site: string): void {
    const task = this.m.current!;
    let sites = this.turns.get(task);
    if (sites === undefined) this.turns.set(task, (sites = new Map()));
    const turns = (sites.get(site) ?? 0) + 1;
    sites.set(site, turns);
    if (turns > this.most) this.most = turns;
  }
}
