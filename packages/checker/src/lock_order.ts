import type { LockObserver, Task } from "@faultline/kernel";
import { calledUnlocked, faultedInCallback, sleptInAtomic } from "./context_rules.js";
import type { Finding } from "./violation.js";

/** More classes of locks than this are not told apart. */
const CLASSES_MAX = 31;

/**
 * Learns which class of lock is taken while which others are held, over all executions, and finds
 * cycles: an order that can deadlock, though no execution may have done so.
 */
export class LockOrder implements LockObserver {
  private readonly classes = new Map<string, number>();
  private readonly names: string[] = [];
  /** For each class, a bit for each class taken while it was held. */
  private readonly after: number[] = [];
  /** The same as pairs of names, outer class first, as they were first seen. */
  readonly pairs: (readonly [string, string])[] = [];
  /** What each task holds, by task id: class and lock id in turn. */
  private held: number[][] = [];

  /** @param detects false to learn only: somebody else looks for circles */
  constructor(
    private readonly report: (finding: Finding) => void,
    public detects = true,
  ) {}

  /** Forgets which class was taken while which was held. */
  forgetOrder(): void {
    this.after.fill(0);
    this.pairs.length = 0;
  }

  /** Learns that `inner` is taken while `outer` is held. */
  nest(outer: string, inner: string): void {
    this.order([this.classOf(outer), 0], this.classOf(inner));
  }

  /** A new execution: nothing is held. */
  reset(): void {
    for (const list of this.held) if (list.length > 0) list.length = 0;
  }

  acquired(task: Task, cls: string, id: number, trylock = false): void {
    const c = this.classOf(cls);
    const list = this.listOf(task);
    // A trylock does not wait, so it cannot be what closes a circle.
    if (!trylock) this.order(list, c);
    list.push(c, id);
  }

  mayWait(task: Task, cls: string): void {
    this.order(this.listOf(task), this.classOf(cls));
  }

  /** Who else wants to know that a task releases a lock. */
  onRelease: ((task: Task, id: number) => void) | null = null;

  released(task: Task, cls: string, id: number): void {
    this.onRelease?.(task, id);
    const c = this.classOf(cls);
    if (remove(this.listOf(task), c, id)) return;
    // Handed over: the one who took it is another (a page that the disk has read).
    for (const list of this.held) if (list !== undefined && remove(list, c, id)) return;
  }

  sleepsInAtomic(task: Task, what: string, sleeps: boolean): void {
    this.report(sleptInAtomic(task, this.heldBy(task), what, sleeps));
  }

  needs(task: Task, cls: string, id: number, what: string): void {
    const list = this.listOf(task);
    for (let i = 0; i < list.length; i += 2) if (list[i + 1] === id) return;
    this.report(calledUnlocked(task, cls, what));
  }

  waitsInCallback(task: Task, what: string): void {
    this.report(faultedInCallback(task, what));
  }

  /** Forgets a lock that went with what it protects. */
  forget(cls: string, id: number): void {
    const c = this.classOf(cls);
    for (const list of this.held) if (list !== undefined) remove(list, c, id);
  }

  /** Names of the classes that a task holds. */
  heldBy(task: Task): string[] {
    return this.listOf(task).flatMap((c, i) => (i % 2 === 0 ? [this.names[c]!] : []));
  }

  /** Every pair seen, outer class first: the lock order as built. A class stands beside itself where two of it were held. */
  edges(): [string, string][] {
    return this.pairs.map(([outer, inner]) => [outer, inner]);
  }

  private listOf(task: Task): number[] {
    // Filled up, so that iterating meets no holes.
    while (this.held.length <= task.id) this.held.push([]);
    return this.held[task.id]!;
  }

  private classOf(cls: string): number {
    let c = this.classes.get(cls);
    if (c === undefined) {
      c = Math.min(this.classes.size, CLASSES_MAX - 1);
      this.classes.set(cls, c);
      this.names[c] = cls;
      this.after[c] ??= 0;
    }
    return c;
  }

  private order(list: readonly number[], c: number): void {
    for (let i = 0; i < list.length; i += 2) {
      const outer = list[i]!;
      if ((this.after[outer]! & (1 << c)) !== 0) continue;
      this.after[outer]! |= 1 << c;
      this.pairs.push([this.names[outer]!, this.names[c]!]);
      // Two of one class: which of them comes first is nothing that classes tell.
      if (outer === c || !this.detects) continue;
      const path = this.path(c, outer, 0);
      if (path !== null) {
        const circle = [outer, ...path].map((x) => this.names[x]).join(" -> ");
        this.report({ kind: "lock-order", message: `locks are taken in a circle: ${circle}` });
      }
    }
  }

  /** A way from one class to another along what was seen, or null. */
  private path(from: number, to: number, seen: number): number[] | null {
    if (from === to) return [to];
    if ((seen & (1 << from)) !== 0) return null;
    for (let c = 0; c < this.names.length; c++) {
      if (c === from || (this.after[from]! & (1 << c)) === 0) continue;
      const rest = this.path(c, to, seen | (1 << from));
      if (rest !== null) return [from, ...rest];
    }
    return null;
  }
}

function remove(list: number[], c: number, id: number): boolean {
  for (let i = list.length - 2; i >= 0; i -= 2) {
    if (list[i] !== c || list[i + 1] !== id) continue;
    const lastId = list.pop()!;
    const lastClass = list.pop()!;
    if (i < list.length) {
      list[i] = lastClass;
      list[i + 1] = lastId;
    }
    return true;
  }
  return false;
}
