import type { Machine } from "../machine.js";
import type { Task } from "../kernel/sched.js";
import { GUP_PIN_COUNTING_BIAS } from "./page.js";

/** What somebody has of a page. */
export enum Hold {
  Reference,
  Pin,
  /** For as long as user space likes (FOLL_LONGTERM). */
  LongtermPin,
}

/**
 * Who holds which reference in flight: references that no page table, cache or batch accounts
 * for, because they live in the locals of a running function. Only while checking, on machines
 * where there are few at a time: so they are a list, searched from its end.
 */
export class RefTracker {
  /* One entry for each reference: the folio, who took it, and where. */
  private readonly pageOf: number[] = [];
  private readonly taskOf: (Task | null)[] = [];
  private readonly siteOf: string[] = [];
  private readonly holdOf: Hold[] = [];
  /** Releases of references that nobody held, for the invariants to report. */
  readonly unbalanced: string[] = [];

  constructor(private readonly m: Machine) {}

  get(page: number, site: string, hold = Hold.Reference): void {
    this.pageOf.push(page);
    this.taskOf.push(this.m.current);
    this.siteOf.push(site);
    this.holdOf.push(hold);
  }

  put(page: number, site: string): void {
    if (!this.release(page, site, false)) this.unbalanced.push(`${describe(this.m.current, site)} dropped a reference to page ${page} that it did not hold`);
  }

  putPin(page: number, site: string): void {
    if (!this.release(page, site, true)) this.unbalanced.push(`${describe(this.m.current, site)} unpinned page ${page}, which it had not pinned`);
  }

  private release(page: number, site: string, pinned: boolean): boolean {
    const { pageOf, taskOf, siteOf, holdOf } = this;
    const task = this.m.current;
    for (let i = pageOf.length - 1; i >= 0; i--) {
      if (pageOf[i] !== page || (taskOf[i] !== task && !this.outlivesTask(i)) || siteOf[i] !== site || (holdOf[i] !== Hold.Reference) !== pinned) continue;
      this.drop(i);
      return true;
    }
    return false;
  }

  /** What this task has of a page at a site is an open file's from here on: whoever closes it lets go. */
  handOver(page: number, site: string): void {
    const { pageOf, taskOf, siteOf } = this;
    for (let i = 0; i < pageOf.length; i++) if (pageOf[i] === page && siteOf[i] === site) taskOf[i] = null;
  }

  /** References in flight to a folio, its pins counted as its reference count has them. */
  count(folio: number): number {
    const pin = this.m.memmap.isLarge(folio) ? 1 : GUP_PIN_COUNTING_BIAS;
    let n = 0;
    for (let i = 0; i < this.pageOf.length; i++) if (this.pageOf[i] === folio) n += this.holdOf[i] === Hold.Reference ? 1 : pin;
    return n;
  }

  /** Pins of a folio. */
  pins(folio: number): number {
    let n = 0;
    for (let i = 0; i < this.pageOf.length; i++) if (this.pageOf[i] === folio && this.holdOf[i] !== Hold.Reference) n++;
    return n;
  }

  /** The folios that are pinned for as long as user space likes. */
  longterm(): Iterable<number> {
    return new Set(this.pageOf.filter((_, i) => this.holdOf[i] === Hold.LongtermPin));
  }

  /** Whether a task has something of a page, rather than an open file. */
  heldByTask(page: number): boolean {
    return this.pageOf.some((held, i) => held === page && !this.outlivesTask(i));
  }

  /** Whether whoever closes a file may let go of it: it is the file's, or pinned for as long as user space likes. */
  private outlivesTask(i: number): boolean {
    return this.taskOf[i] === null || this.holdOf[i] === Hold.LongtermPin;
  }

  /** Who holds a page: task and site of each reference. */
  holders(page: number): string[] {
    return this.pageOf.flatMap((held, i) => (held === page ? [describe(this.taskOf[i]!, this.siteOf[i]!)] : []));
  }

  /** Every reference that is held, and by whom; null for an open file. */
  *all(): Generator<{ readonly page: number; readonly task: Task | null; readonly site: string; readonly hold: Hold }, void, void> {
    for (let i = 0; i < this.pageOf.length; i++) yield { page: this.pageOf[i]!, task: this.taskOf[i]!, site: this.siteOf[i]!, hold: this.holdOf[i]! };
  }

  get empty(): boolean {
    return this.pageOf.length === 0;
  }

  /** The pages held, each once. */
  pages(): Iterable<number> {
    return new Set(this.pageOf);
  }

  private drop(i: number): void {
    const { pageOf, taskOf, siteOf } = this;
    const page = pageOf.pop()!;
    const task = taskOf.pop()!;
    const site = siteOf.pop()!;
    const hold = this.holdOf.pop()!;
    if (i === pageOf.length) return;
    pageOf[i] = page;
    taskOf[i] = task;
    siteOf[i] = site;
    this.holdOf[i] = hold;
  }
}

function describe(task: Task | null, site: string): string {
  return `${task?.comm ?? "boot"}#${task?.id ?? 0}:${site}`;
}
