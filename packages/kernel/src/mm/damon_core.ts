/**
 * @linux mm/damon/core.c
 * @omits Watermarks, goals of quotas and of intervals, and the order in which a quota is spent: regions are taken as they lie.
 * @omits Tracepoints, and users within the kernel (DAMON_RECLAIM, DAMON_LRU_SORT, DAMON_STAT).
 * @own filteredOut, kdamondCall, kdamondSleep, mergeTarget, newQuota, splitTarget
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { Task, TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { ACCESS_BP, DamonRegion, type DamonContext, type DamonTarget, type DamonWalk, type DamosFilter, type DamosQuota, type DamosScheme } from "./damon_types.js";
import { PAGE_SIZE } from "./frame_memory.js";

/*
 * DAMON (Documentation/mm/damon/design.rst): regions of memory are watched by sampling one page of each. Adjacent regions that are
 * used alike become one, and each is split at random time and again, so that there are about as many as is asked for, and their
 * bounds follow the use. Schemes do something to those that fit them.
 */

const NS_PER_US = 1000;
const NS_PER_MS = 1_000_000;
/** What quotas by time take for granted until something has been measured: 4 MiB a millisecond. */
const BYTES_PER_MS = 1024 * PAGE_SIZE;

/* Starting and stopping. */

/** Begins to monitor, in a thread of that name: 0, or -EINVAL for attributes that contradict each other. */
export function* damonStart(k: Kernel, ctx: DamonContext, name: string): Atomic<number> {
  const { m } = k;
  const { minRegions, maxRegions, sampleUs, aggrUs } = ctx.attrs;
  if (minRegions < 3 || minRegions > maxRegions || sampleUs > aggrUs) return -Errno.EINVAL;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  ctx.thread = new Task(m.sched.allocateTaskId(), name, m.sched.leastLoadedCpu(), k.damonCore.kdamondFn(k, ctx), { memcg: m.memcgs.root });
  m.sched.start(ctx.thread);
  return 0;
}

/** Ends the thread, and waits for that: 0, or -EPERM where there is none. */
export function* damonStop(k: Kernel, ctx: DamonContext): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  if (ctx.thread === null) return -Errno.EPERM;
  ctx.stopWanted = true;
  ctx.wait.wakeAll();
  while (ctx.thread !== null) yield* ctx.waiters.sleep(TaskState.Uninterruptible, "damon_stop");
  return 0;
}

/** Has kdamond run something between two samples, and waits for that: 0, or -EINVAL where there is none. */
export function* damonCall(k: Kernel, ctx: DamonContext, run: (k: Kernel, ctx: DamonContext) => void): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  if (ctx.thread === null) return -Errno.EINVAL;
  const request = { run, done: false };
  ctx.requests.push(request);
  ctx.wait.wakeAll();
  while (!request.done) yield* ctx.waiters.sleep(TaskState.Uninterruptible, "damon_call");
  return 0;
}

/** What each scheme is tried on the next time: -EINVAL where nothing runs, -EBUSY where somebody else asks already. */
export function* damosWalk(k: Kernel, ctx: DamonContext): MaySleep<DamonWalk | number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  if (ctx.thread === null) return -Errno.EINVAL;
  if (ctx.walk !== null) return -Errno.EBUSY;
  const walk: DamonWalk = { tried: [], left: new Set(ctx.schemes), done: false };
  ctx.walk = walk;
  ctx.wait.wakeAll();
  while (!walk.done) yield* ctx.waiters.sleep(TaskState.Uninterruptible, "damos_walk");
  return walk;
}

/* The thread. */

export function* kdamondFn(k: Kernel, ctx: DamonContext): MaySleep<void> {
  const { m } = k;
  yield* ctx.ops.init(k, ctx);
  ctx.passed = ctx.lastRegions = 0;
  ctx.nextAggregation = intervals(ctx, ctx.attrs.aggrUs);
  ctx.nextUpdate = intervals(ctx, ctx.attrs.updateUs);
  for (const scheme of ctx.schemes) scheme.nextApply = applyInterval(ctx, scheme);
  let limit = regionSizeLimit(ctx);
  while (!(yield* k.damonCore.kdamondNeedStop(k, ctx))) {
    yield* ctx.ops.prepareAccessChecks(k, ctx);
    yield* k.damonCore.kdamondSleep(k, ctx, ctx.attrs.sampleUs);
    ctx.passed++;
    const most = yield* ctx.ops.checkAccesses(k, ctx);
    const aggregated = ctx.passed >= ctx.nextAggregation;
    if (aggregated) k.damonCore.kdamondMergeRegions(k, ctx, Math.floor(most / 10), limit);
    k.damonCore.kdamondCall(k, ctx);
    yield* k.damonCore.kdamondApplySchemes(k, ctx);
    if (aggregated) {
      ctx.nextAggregation = ctx.passed + intervals(ctx, ctx.attrs.aggrUs);
      k.damonCore.kdamondResetAggregated(k, ctx);
      k.damonCore.kdamondSplitRegions(k, ctx);
    }
    if (ctx.passed >= ctx.nextUpdate) {
      ctx.nextUpdate = ctx.passed + intervals(ctx, ctx.attrs.updateUs);
      yield* ctx.ops.update(k, ctx);
      limit = regionSizeLimit(ctx);
    }
  }
  if (m.point(Op.Stats, 0)) yield SWITCH;
  for (const target of ctx.targets) target.regions = [];
  k.damonCore.kdamondCall(k, ctx);
  endWalk(ctx);
  ctx.thread = null;
  ctx.stopWanted = false;
  ctx.waiters.wakeAll();
}

/** Somebody wants it to stop, or there is nothing left to watch. Physical memory is always there. */
export function* kdamondNeedStop(k: Kernel, ctx: DamonContext): Atomic<boolean> {
  if (ctx.stopWanted) return true;
  if (ctx.ops.targetValid === undefined) return false;
  for (const target of ctx.targets) if (yield* ctx.ops.targetValid(k, target)) return false;
  return true;
}

/** Until the interval is over, or it is to stop. Nobody waits for that, unless he waits for kdamond. */
export function* kdamondSleep(k: Kernel, ctx: DamonContext, us: number): MaySleep<void> {
  const { m } = k;
  const end = m.now() + Math.max(1, us) * NS_PER_US;
  while (m.now() < end && !ctx.stopWanted) {
    const timer = m.sched.addTimer(end, ctx.wanted, () => ctx.wait.wakeAll(), !ctx.wanted);
    yield* ctx.wait.sleep(TaskState.Interruptible, "kdamond");
    timer.cancel();
  }
}

/** Does what it was asked to do meanwhile. */
export function kdamondCall(k: Kernel, ctx: DamonContext): void {
  if (ctx.requests.length === 0) return;
  for (const request of ctx.requests.splice(0)) {
    request.run(k, ctx);
    request.done = true;
  }
  ctx.waiters.wakeAll();
}

function intervals({ attrs }: DamonContext, us: number): number {
  return Math.max(1, Math.floor(us / Math.max(1, attrs.sampleUs)));
}

function applyInterval(ctx: DamonContext, { applyUs }: DamosScheme): number {
  return ctx.passed + intervals(ctx, applyUs === 0 ? ctx.attrs.aggrUs : applyUs);
}

/** Pages that a region may have, so that there are at least as many regions as is asked for. */
function regionSizeLimit({ targets, attrs }: DamonContext): number {
  const pages = targets.reduce((sum, { regions }) => sum + regions.reduce((n, region) => n + region.pages, 0), 0);
  return Math.max(1, Math.floor(pages / Math.max(1, attrs.minRegions)));
}

/* Regions. */

/** Gives a target these regions, pages [start, end) each, in order: 0, or -EINVAL where they overlap. */
export function damonSetRegions(_k: Kernel, target: DamonTarget, ranges: readonly (readonly [start: number, end: number])[]): number {
  let last = 0;
  for (const [start, end] of ranges) {
    if (start > end || start < last) return -Errno.EINVAL;
    last = end;
  }
  const old = target.regions;
  target.regions = ranges.flatMap(([start, end]) => {
    // What is known of what stays is kept.
    const kept = old.filter((region) => region.start < end && start < region.end);
    if (kept.length === 0) return start < end ? [new DamonRegion(start, end)] : [];
    kept[0]!.start = start;
    kept.at(-1)!.end = end;
    return kept;
  });
  return 0;
}

/** Counts a sample of a region: used, or not. */
export function damonUpdateRegionAccessRate(_k: Kernel, region: DamonRegion, accessed: boolean, ctx: DamonContext): void {
  const window = intervals(ctx, ctx.attrs.aggrUs);
  region.accessesBp = Math.max(0, region.accessesBp - Math.floor((region.lastAccesses * ACCESS_BP) / window)) + (accessed ? ACCESS_BP : 0);
  if (accessed) region.accesses++;
}

/** Makes one of neighbours that are used alike; more alike than `threshold`, and more so as long as there are too many. */
export function kdamondMergeRegions(k: Kernel, ctx: DamonContext, threshold: number, limit: number): void {
  const most = intervals(ctx, ctx.attrs.aggrUs);
  for (const { regions } of ctx.targets) for (const region of regions) grow(region, threshold);
  do {
    for (const target of ctx.targets) k.damonCore.mergeTarget(k, target, threshold, limit);
    threshold = Math.max(1, threshold * 2);
  } while (ctx.regions > ctx.attrs.maxRegions && threshold / 2 < most);
}

/** It is an interval older, unless it is used otherwise than it was. */
function grow(region: DamonRegion, threshold: number): void {
  const changed = Math.abs(region.accesses - region.lastAccesses) > threshold || (region.accesses === 0) !== (region.lastAccesses === 0);
  region.age = changed ? 0 : region.age + 1;
}

export function mergeTarget(_k: Kernel, target: DamonTarget, threshold: number, limit: number): void {
  const merged: DamonRegion[] = [];
  for (const region of target.regions) {
    const last = merged.at(-1);
    if (last !== undefined && last.end === region.start && Math.abs(last.accesses - region.accesses) <= threshold && last.pages + region.pages <= limit) {
      const weigh = (a: number, b: number): number => Math.floor((a * last.pages + b * region.pages) / (last.pages + region.pages));
      last.accesses = weigh(last.accesses, region.accesses);
      last.accessesBp = last.accesses * ACCESS_BP;
      last.age = weigh(last.age, region.age);
      last.end = region.end;
    } else merged.push(region);
  }
  target.regions = merged;
}

/** An aggregation interval is over, and the next begins. */
export function kdamondResetAggregated(_k: Kernel, ctx: DamonContext): void {
  for (const { regions } of ctx.targets) {
    for (const region of regions) {
      region.lastAccesses = region.accesses;
      region.accesses = 0;
    }
  }
}

/** Splits each region at random: in three where that made no difference last time, and there may be so many. */
export function kdamondSplitRegions(k: Kernel, ctx: DamonContext): void {
  const { regions } = ctx;
  if (regions > ctx.attrs.maxRegions / 2) return;
  const parts = ctx.lastRegions === regions && regions < ctx.attrs.maxRegions / 3 ? 3 : 2;
  for (const target of ctx.targets) k.damonCore.splitTarget(k, target, parts);
  ctx.lastRegions = regions;
}

export function splitTarget(k: Kernel, target: DamonTarget, parts: number): void {
  target.regions = target.regions.flatMap((whole) => {
    const pieces = [whole];
    for (let i = 1; i < parts && pieces.at(-1)!.pages > 1; i++) {
      const last = pieces.at(-1)!;
      // One to nine tenths.
      const pages = Math.floor(((1 + k.m.choices.pick("damon", 9)) * last.pages) / 10);
      if (pages > 0 && pages < last.pages) pieces.push(splitAt(last, pages));
    }
    return pieces;
  });
}

/** The rest of a region behind its first pages; both have been used alike so far. */
function splitAt(region: DamonRegion, pages: number): DamonRegion {
  const rest = new DamonRegion(region.start + pages, region.end);
  region.end = rest.start;
  const { age, accesses, lastAccesses, accessesBp } = region;
  return Object.assign(rest, { age, accesses, lastAccesses, accessesBp });
}

/* Schemes. */

export function newQuota(_k: Kernel, limits: Pick<DamosQuota, "ms" | "bytes" | "resetMs">): DamosQuota {
  return { ...limits, effective: 0, chargedFrom: -1, charged: 0, totalCharged: 0, totalNs: 0, resume: null };
}

/** Tries the schemes whose time has come on each region. */
export function* kdamondApplySchemes(k: Kernel, ctx: DamonContext): MaySleep<void> {
  const due = ctx.schemes.filter((scheme) => ctx.passed >= scheme.nextApply);
  for (const scheme of due) k.damonCore.damosAdjustQuota(k, scheme);
  for (const target of due.length === 0 ? [] : ctx.targets) {
    for (let i = 0; i < target.regions.length; i++) {
      for (const scheme of due) yield* k.damonCore.damonDoApplySchemes(k, ctx, target, i, scheme);
      yield* k.m.sched.condResched();
    }
  }
  for (const scheme of due) {
    scheme.nextApply = applyInterval(ctx, scheme);
    ctx.walk?.left.delete(scheme);
  }
  if (ctx.walk?.left.size === 0) endWalk(ctx);
}

function endWalk(ctx: DamonContext): void {
  if (ctx.walk === null) return;
  ctx.walk.done = true;
  ctx.walk = null;
  ctx.waiters.wakeAll();
}

/** A new window begins where the last one is over; what may be done in it. */
export function damosAdjustQuota(k: Kernel, { quota, stats }: DamosScheme): void {
  const { ms, bytes, resetMs } = quota;
  if (ms === 0 && bytes === 0) return;
  const now = k.m.now();
  if (quota.chargedFrom >= 0 && now - quota.chargedFrom < resetMs * NS_PER_MS) return;
  if (quota.effective > 0 && quota.charged >= quota.effective) stats.quotaExceeds++;
  quota.totalCharged += quota.charged;
  quota.chargedFrom = now;
  quota.charged = 0;
  const inTime = ms === 0 ? Infinity : Math.max(PAGE_SIZE, (quota.totalNs > 0 ? (quota.totalCharged * NS_PER_MS) / quota.totalNs : BYTES_PER_MS) * ms);
  quota.effective = Math.floor(Math.min(inTime, bytes === 0 ? Infinity : bytes));
}

const limited = ({ ms, bytes }: DamosQuota): boolean => ms !== 0 || bytes !== 0;
const within = (value: number, { min, max }: { readonly min: number; readonly max: number }): boolean => min <= value && value <= max;

/** One scheme on one region of a target: those behind it may be new ones, of what was too large for the quota. */
export function* damonDoApplySchemes(k: Kernel, ctx: DamonContext, target: DamonTarget, index: number, scheme: DamosScheme): MaySleep<void> {
  const region = target.regions[index]!;
  const { quota } = scheme;
  if (limited(quota)) {
    if (quota.charged >= quota.effective) return;
    if (quota.resume !== null && (quota.resume.target !== target || region.end <= quota.resume.page)) {
      // Only where the target is still there, and has something behind that.
      if (ctx.targets.includes(quota.resume.target) && ctx.targets.indexOf(target) <= ctx.targets.indexOf(quota.resume.target)) return;
    }
    quota.resume = null;
  }
  if (!k.damonCore.damosValidTarget(k, region, scheme)) return;
  yield* k.damonCore.damosApplyScheme(k, ctx, target, index, scheme);
}

/** Whether a region is of the kind that a scheme is for. */
export function damosValidTarget(_k: Kernel, region: DamonRegion, { size, accesses, age }: DamosScheme): boolean {
  return within(region.pages * PAGE_SIZE, size) && within(Math.floor(region.accessesBp / ACCESS_BP), accesses) && within(region.age, age);
}

export function* damosApplyScheme(k: Kernel, ctx: DamonContext, target: DamonTarget, index: number, scheme: DamosScheme): MaySleep<void> {
  const { m } = k;
  const { quota, stats } = scheme;
  const region = target.regions[index]!;
  if (limited(quota) && quota.charged + region.pages * PAGE_SIZE > quota.effective) {
    const pages = Math.floor((quota.effective - quota.charged) / PAGE_SIZE);
    if (pages === 0) return;
    if (pages < region.pages) target.regions.splice(index + 1, 0, splitAt(region, pages));
  }
  for (const filter of scheme.coreFilters) if (filter.type === "addr") splitByAddress(target, index, filter);
  if (k.damonCore.filteredOut(k, ctx, target, region, scheme)) return;
  const begin = m.now();
  const { applied, passed } = yield* ctx.ops.applyScheme(k, ctx, target, region, scheme);
  const bytes = region.pages * PAGE_SIZE;
  if (ctx.walk?.left.has(scheme) === true) {
    ctx.walk.tried.push({ scheme, start: region.start, end: region.end, accesses: Math.floor(region.accessesBp / ACCESS_BP), age: region.age, filterPassedBytes: passed });
  }
  if (limited(quota)) {
    quota.totalNs += m.now() - begin;
    quota.charged += bytes;
    if (quota.charged >= quota.effective) quota.resume = { target, page: region.end };
  }
  stats.tried++;
  stats.triedBytes += bytes;
  stats.filterPassedBytes += passed;
  if (applied > 0) stats.applied++;
  stats.appliedBytes += applied;
  if (scheme.action !== "stat") region.age = 0;
}

/** A filter of addresses is for all of a region, or for nothing of it. */
function splitByAddress(target: DamonTarget, index: number, { startPage, endPage }: DamosFilter): void {
  const region = target.regions[index]!;
  const at = region.start < startPage && startPage < region.end ? startPage : region.start < endPage && endPage < region.end ? endPage : null;
  if (at !== null) target.regions.splice(index + 1, 0, splitAt(region, at - region.start));
}

/**
 * Whether filters keep a scheme from a region. The first one that has something to say decides; where none has, those that only let
 * through (`allow`) stand for "nothing else".
 */
export function filteredOut(_k: Kernel, ctx: DamonContext, target: DamonTarget, region: DamonRegion, { coreFilters, opsFilters }: DamosScheme): boolean {
  for (const filter of coreFilters) {
    const is = filter.type === "target" ? ctx.targets[filter.target] === target : filter.startPage <= region.start && region.end <= filter.endPage;
    if (is === filter.matching) return !filter.allow;
  }
  return opsFilters.length === 0 && coreFilters.at(-1)?.allow === true;
}
