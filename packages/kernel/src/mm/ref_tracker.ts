import type { Machine } from "../machine.js";

/**
 * Who holds which reference in flight: references that no page table, cache or batch accounts
 * for, because they live in the locals of a running function. Only while checking.
 */
export class RefTracker {
  /** page -> "task:site" -> how many. */
  private readonly held = new Map<number, Map<string, number>>();
  /** Releases of references that nobody held, for the invariants to report. */
  readonly unbalanced: string[] = [];

  constructor(private readonly m: Machine) {}

  get(page: number, site: string): void {
    const key = this.key(site);
    let holders = this.held.get(page);
    if (holders === undefined) this.held.set(page, (holders = new Map<string, number>()));
    holders.set(key, (holders.get(key) ?? 0) + 1);
  }

  put(page: number, site: string): void {
    const key = this.key(site);
    const holders = this.held.get(page);
    const n = holders?.get(key) ?? 0;
    if (n === 0) this.unbalanced.push(`${key} dropped a reference to page ${page} that it did not hold`);
    else if (n === 1) holders!.delete(key);
    else holders!.set(key, n - 1);
    if (holders?.size === 0) this.held.delete(page);
  }

  /** References in flight to a page. */
  count(page: number): number {
    let n = 0;
    for (const k of this.held.get(page)?.values() ?? []) n += k;
    return n;
  }

  holders(page: number): string[] {
    return [...(this.held.get(page)?.keys() ?? [])];
  }

  get empty(): boolean {
    return this.held.size === 0;
  }

  pages(): Iterable<number> {
    return this.held.keys();
  }

  private key(site: string): string {
    return `${this.m.current?.comm ?? "boot"}#${this.m.current?.id ?? 0}:${site}`;
  }
}
