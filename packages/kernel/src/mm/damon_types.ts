import { WaitQueue, type Task } from "../kernel/sched.js";
import type { Process } from "../kernel/process.js";
import type { Kernel } from "../kernel.js";
import type { Atomic, MaySleep } from "../kernel/coroutine.js";
import type { Machine } from "../machine.js";
import type { Memcg } from "./memcontrol.js";

/** Hundredths of a percent of one access: what `DamonRegion.accessesBp` is counted in. */
export const ACCESS_BP = 10_000;

/** Pages [start, end) that are taken to be used alike: one of them is looked at for all. */
export class DamonRegion {
  /** The page that is looked at in this sampling interval. */
  sampling: number;
  /** Samples of this aggregation interval in which it was used, and of the last one. */
  accesses = 0;
  lastAccesses = 0;
  /** The same over the last interval's length, whenever that is asked, in units of 1/ACCESS_BP. */
  accessesBp = 0;
  /** Aggregation intervals for which it has been used about as much as now. */
  age = 0;

  constructor(
    public start: number,
    public end: number,
  ) {
    this.sampling = start;
  }

  get pages(): number {
    return this.end - this.start;
  }
}

/** What is watched: the memory of a process, or physical memory (`process` is null), whose pages are frames by number. */
export interface DamonTarget {
  readonly process: Process | null;
  /** In order, and apart. */
  regions: DamonRegion[];
}

export type DamonOpsName = "vaddr" | "fvaddr" | "paddr";

/** Actions of schemes, by the names that users write. */
export const DAMOS_ACTIONS = ["willneed", "cold", "pageout", "hugepage", "nohugepage", "lru_prio", "lru_deprio", "stat"] as const;
export type DamosAction = (typeof DAMOS_ACTIONS)[number];

export const DAMOS_FILTERS = ["anon", "active", "memcg", "young", "addr", "target"] as const;

/** Whether memory of some kind (or, with `matching` false, all other) is left alone, or (`allow`) alone is worked on. */
export interface DamosFilter {
  readonly type: (typeof DAMOS_FILTERS)[number];
  readonly matching: boolean;
  readonly allow: boolean;
  readonly memcg: Memcg | null;
  /** Of `addr`: pages [startPage, endPage). */
  readonly startPage: number;
  readonly endPage: number;
  /** Of `target`: its number. */
  readonly target: number;
}

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** How much a scheme may do, and for how much it has. */
export interface DamosQuota {
  readonly ms: number;
  readonly bytes: number;
  readonly resetMs: number;
  /** Bytes of one window: both limits in one; 0 before the first. */
  effective: number;
  /** Machine time at which the window began; -1 before the first. */
  chargedFrom: number;
  charged: number;
  /** What all windows before have taken, for how many bytes that may be in `ms`. */
  totalCharged: number;
  totalNs: number;
  /** Where the next window goes on; null for the beginning. */
  resume: { readonly target: DamonTarget; readonly page: number } | null;
}

/** What is done to regions that have been used in a certain way (DAMON-based Operation Scheme). */
export interface DamosScheme {
  readonly action: DamosAction;
  /** Bytes, accesses in an aggregation interval, and aggregation intervals. */
  readonly size: Bounds;
  readonly accesses: Bounds;
  readonly age: Bounds;
  /** Microseconds; 0 for the aggregation interval. */
  readonly applyUs: number;
  readonly coreFilters: readonly DamosFilter[];
  readonly opsFilters: readonly DamosFilter[];
  readonly quota: DamosQuota;
  readonly stats: { tried: number; triedBytes: number; applied: number; appliedBytes: number; filterPassedBytes: number; quotaExceeds: number };
  /** Sampling intervals after which it is applied next. */
  nextApply: number;
}

export interface DamonAttrs {
  readonly sampleUs: number;
  readonly aggrUs: number;
  readonly updateUs: number;
  readonly minRegions: number;
  readonly maxRegions: number;
}

/** A region that a scheme has been tried on, as it was then. */
export interface TriedRegion {
  readonly scheme: DamosScheme;
  readonly start: number;
  readonly end: number;
  readonly accesses: number;
  readonly age: number;
  readonly filterPassedBytes: number;
}

/** How one kind of memory is looked at, and worked on. */
export interface DamonOperations {
  /** Regions for targets that have none. */
  init(k: Kernel, ctx: DamonContext): MaySleep<void>;
  /** What may have been mapped or unmapped since. */
  update(k: Kernel, ctx: DamonContext): MaySleep<void>;
  prepareAccessChecks(k: Kernel, ctx: DamonContext): MaySleep<void>;
  /** The most accesses that any region has. */
  checkAccesses(k: Kernel, ctx: DamonContext): MaySleep<number>;
  /** Whether there is still something of a target; without it there always is. */
  targetValid?(k: Kernel, target: DamonTarget): Atomic<boolean>;
  /** Bytes that the action was done to, and those that filters let through. */
  applyScheme(k: Kernel, ctx: DamonContext, target: DamonTarget, region: DamonRegion, scheme: DamosScheme): MaySleep<{ applied: number; passed: number }>;
}

/** What kdamond is asked to do between two samples; `done` once it has, or has ended. */
export interface DamonRequest {
  readonly run: (k: Kernel, ctx: DamonContext) => void;
  done: boolean;
}

/** A run of schemes that somebody watches: done when each scheme has been through all regions. */
export interface DamonWalk {
  readonly tried: TriedRegion[];
  readonly left: Set<DamosScheme>;
  done: boolean;
}

/** What one kdamond monitors, and how (`struct damon_ctx`). */
export class DamonContext {
  /** The thread; null when it does not run. */
  thread: Task | null = null;
  stopWanted = false;
  readonly requests: DamonRequest[] = [];
  walk: DamonWalk | null = null;
  /** kdamond sleeps here, and those who wait for it. */
  readonly wait: WaitQueue;
  readonly waiters: WaitQueue;
  /** Sampling intervals that are over. */
  passed = 0;
  /** After how many the next aggregation ends, and the next update is made. */
  nextAggregation = 0;
  nextUpdate = 0;
  /** Regions there were when they were last split. */
  lastRegions = 0;

  constructor(
    m: Machine,
    readonly ops: DamonOperations,
    public attrs: DamonAttrs,
    public targets: readonly DamonTarget[],
    public schemes: readonly DamosScheme[],
  ) {
    this.wait = new WaitQueue(m);
    this.waiters = new WaitQueue(m);
  }

  get regions(): number {
    return this.targets.reduce((sum, { regions }) => sum + regions.length, 0);
  }

  /** Somebody waits for kdamond: time goes on for its sake. */
  get wanted(): boolean {
    return this.stopWanted || this.requests.length > 0 || this.walk !== null;
  }
}
