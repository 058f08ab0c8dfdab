import type { Machine } from "../machine.js";
import type { Task } from "../kernel/sched.js";

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
  /** Releases of references that nobody held, for the invariants to report. */
  readonly unbalanced: string[] = [];

  constructor(private readonly m: Machine) {}

  get(page: number, site: string): void {
    this.pageOf.push(page);
    this.taskOf.push(this.m.current);
    this.siteOf.push(site);
  }

  put(page: number, site: string): void {
    const { pageOf, taskOf, siteOf } = this;
    const task = this.m.current;
    for (let i = pageOf.length - 1; i >= 0; i--) {
      if (pageOf[i] !== page || taskOf[i] !== task || siteOf[i] !== site) continue;
      this.drop(i);
      return;
    }
    this.unbalanced.push(`${describe(task, site)} dropped a reference to page ${page} that it did not hold`);
  }

  /** References in flight to a page. */
  count(page: number): number {
    let n = 0;
    for (const held of this.pageOf) if (held === page) n++;
    return n;
  }

  /** Who holds a page: task and site of each reference. */
  holders(page: number): string[] {
    return this.pageOf.flatMap((held, i) => (held === page ? [describe(this.taskOf[i]!, this.siteOf[i]!)] : []));
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
    if (i === pageOf.length) return;
    pageOf[i] = page;
    taskOf[i] = task;
    siteOf[i] = site;
  }
}

function describe(task: Task | null, site: string): string {
  return `${task?.comm ?? "boot"}#${task?.id ?? 0}:${site}`;
}
