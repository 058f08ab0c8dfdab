import type { Machine } from "../machine.js";
import { Lruvec } from "./lruvec.js";
import type { Mm } from "./mm_types.js";

/** Counters of memory.stat and memory.events, in pages or events of this cgroup alone. */
export interface MemcgCounters {
  anon: number;
  anonThp: number;
  shmemThp: number;
  file: number;
  fileMapped: number;
  kernelStack: number;
  pagetables: number;
  shmem: number;
  swapcached: number;
  pgfault: number;
  pgmajfault: number;
  pgscan: number;
  pgsteal: number;
  pgactivate: number;
  pgdeactivate: number;
  pgrefill: number;
  pgscanKswapd: number;
  pgscanDirect: number;
  pgscanProactive: number;
  pgstealKswapd: number;
  pgstealDirect: number;
  pgstealProactive: number;
  pswpin: number;
  pswpout: number;
  thpFaultAlloc: number;
  thpCollapseAlloc: number;
}

const ZERO: MemcgCounters = {
  anon: 0,
  anonThp: 0,
  shmemThp: 0,
  file: 0,
  fileMapped: 0,
  kernelStack: 0,
  pagetables: 0,
  shmem: 0,
  swapcached: 0,
  pgfault: 0,
  pgmajfault: 0,
  pgscan: 0,
  pgsteal: 0,
  pgactivate: 0,
  pgdeactivate: 0,
  pgrefill: 0,
  pgscanKswapd: 0,
  pgscanDirect: 0,
  pgscanProactive: 0,
  pgstealKswapd: 0,
  pgstealDirect: 0,
  pgstealProactive: 0,
  pswpin: 0,
  pswpout: 0,
  thpFaultAlloc: 0,
  thpCollapseAlloc: 0,
};

/** Pages a CPU takes from a cgroup's counter at once, and hands out without touching it. */
export const MEMCG_CHARGE_BATCH = 64;

/** A cgroup of the v2 memory controller. Limits and usage are in pages. */
export class Memcg {
  usage = 0;
  swapUsage = 0;
  peak = 0;
  max = Infinity;
  high = Infinity;
  min = 0;
  low = 0;
  swapMax = Infinity;
  /** Where one of its processes is killed for memory, all are (memory.oom.group). */
  oomGroup = false;
  readonly counters: MemcgCounters = { ...ZERO };
  readonly events = { low: 0, high: 0, max: 0, oom: 0, oom_kill: 0, oom_group_kill: 0 };
  readonly swapEvents = { high: 0, max: 0, fail: 0 };
  readonly children = new Map<string, Memcg>();
  readonly lruvec: Lruvec;
  /** The inode number of its directory: how /proc/kpagecgroup names it. 0 where none is mounted. */
  ino = 0;

  constructor(
    m: Machine,
    readonly id: number,
    readonly name: string,
    readonly parent: Memcg | null,
  ) {
    this.lruvec = new Lruvec(m);
  }

  /** Path below the mount point: "/" for the root. */
  get path(): string {
    if (this.parent === null) return "/";
    return this.parent.parent === null ? `/${this.name}` : `${this.parent.path}/${this.name}`;
  }

  /** This cgroup and everything below it, parents first. */
  *subtree(): Generator<Memcg, void, void> {
    yield this;
    for (const child of this.children.values()) yield* child.subtree();
  }
}

/** The cgroup tree, and each CPU's stock of charged pages. */
export class Memcgs {
  readonly root: Memcg;
  private readonly byId: (Memcg | undefined)[] = [];
  private readonly stock: { memcg: Memcg | null; pages: number }[];

  constructor(private readonly m: Machine) {
    // Id 0 says that a page is charged to nobody; it is looked after with the root's.
    this.root = new Memcg(m, 1, "", null);
    this.byId.push(this.root, this.root);
    this.stock = Array.from({ length: m.config.cpus }, () => ({ memcg: null, pages: 0 }));
  }

  get(id: number): Memcg {
    return this.byId[id] ?? this.root;
  }

  /** The cgroup of those whose address space it is: what others put there is charged to it. */
  ofMm(mm: Mm): Memcg {
    const { current, tasks } = this.m;
    if (current?.mm === mm) return current.memcg;
    for (const task of tasks.values()) if (task.mm === mm) return task.memcg;
    return this.root;
  }

  create(parent: Memcg, name: string): Memcg {
    const memcg = new Memcg(this.m, this.byId.length, name, parent);
    this.byId.push(memcg);
    parent.children.set(name, memcg);
    return memcg;
  }

  /** Takes pages from this CPU's stock; false when the counter itself must be charged. */
  consumeStock(cpu: number, memcg: Memcg, pages: number): boolean {
    const stock = this.stock[cpu]!;
    if (stock.memcg !== memcg || stock.pages < pages) return false;
    stock.pages -= pages;
    return true;
  }

  /** Puts pages that were charged into this CPU's stock, giving back what it held for another. */
  refillStock(cpu: number, memcg: Memcg, pages: number): void {
    const stock = this.stock[cpu]!;
    if (stock.memcg !== memcg) {
      this.drainStock(cpu);
      stock.memcg = memcg;
    }
    stock.pages += pages;
    if (stock.pages > MEMCG_CHARGE_BATCH) this.drainStock(cpu);
  }

  /** Pages of a cgroup's usage that are in the CPUs' stocks, charged to nothing yet. */
  stockOf(memcg: Memcg): number {
    let pages = 0;
    for (const stock of this.stock) if (stock.memcg === memcg) pages += stock.pages;
    return pages;
  }

  /** Pages in a CPU's stock. */
  stockPages(cpu: number): number {
    return this.stock[cpu]!.pages;
  }

  drainStock(cpu: number): void {
    const stock = this.stock[cpu]!;
    if (stock.memcg !== null && stock.pages > 0) this.uncharge(stock.memcg, stock.pages);
    stock.pages = 0;
  }

  drainAllStock(): void {
    for (let cpu = 0; cpu < this.stock.length; cpu++) this.drainStock(cpu);
  }

  /** Adds pages to a cgroup and its parents; the cgroup whose limit forbids it, or null. */
  tryCharge(memcg: Memcg, pages: number): Memcg | null {
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) if (c.usage + pages > c.max) return c;
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) {
      c.usage += pages;
      if (c.usage > c.peak) c.peak = c.usage;
    }
    return null;
  }

  /** Adds pages without asking the limits: for those that must not fail. */
  forceCharge(memcg: Memcg, pages: number): void {
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) c.usage += pages;
  }

  uncharge(memcg: Memcg, pages: number): void {
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) c.usage -= pages;
  }

  /** Charges a swap slot; false when a limit forbids it. */
  tryChargeSwap(memcg: Memcg, pages: number): boolean {
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) {
      if (c.swapUsage + pages > c.swapMax) {
        memcg.swapEvents.max++;
        memcg.swapEvents.fail++;
        return false;
      }
    }
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) c.swapUsage += pages;
    return true;
  }

  /** Slots that the cgroup may still take, by what is free and by its limits and its parents'. */
  swapRoom(memcg: Memcg): number {
    let room = this.m.swap.free;
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) room = Math.min(room, c.swapMax - c.swapUsage);
    return room;
  }

  /** Whether swap is scarce, for the machine or for the cgroup: more than half of it is taken. */
  swapFull(memcg: Memcg): boolean {
    const { swap } = this.m;
    if (swap.used * 2 > swap.total) return true;
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) if (c.swapUsage * 2 >= c.swapMax) return true;
    return false;
  }

  unchargeSwap(memcg: Memcg, pages: number): void {
    for (let c: Memcg | null = memcg; c !== null; c = c.parent) c.swapUsage -= pages;
  }
}
