/**
 * @linux mm/damon/vaddr.c
 * @omits Migration between nodes, and filters that look at pages.
 * @omits Pages of hugetlbfs are not watched.
 * @own eachSample
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { ptePresent } from "../arch/pgtable.js";
import { DamonRegion, type DamonContext, type DamonOperations, type DamonTarget, type DamosAction } from "./damon_types.js";
import { PAGE_SIZE } from "./frame_memory.js";
import { Madv } from "./madvise.js";
import type { Mm, Vma } from "./mm_types.js";
import { PG } from "./page.js";

/*
 * The address spaces of processes. An address space is mostly holes, of which two are far larger than all others: between heap and
 * mappings, and between those and the stack. What is around and between them is watched, as three regions to begin with.
 */

const ADVICE: { readonly [A in DamosAction]?: Madv } = {
  willneed: Madv.WILLNEED,
  cold: Madv.COLD,
  pageout: Madv.PAGEOUT,
  hugepage: Madv.HUGEPAGE,
  nohugepage: Madv.NOHUGEPAGE,
};

/** The address space of a target, which stays until `mmput`; null when its process has none any more. */
export function* damonGetMm(k: Kernel, { process }: DamonTarget): Atomic<Mm | null> {
  const mm = process?.mm ?? null;
  return mm !== null && (yield* k.fork.mmgetNotZero(k, mm)) ? mm : null;
}

export function* damonVaTargetValid(k: Kernel, { process }: DamonTarget): Atomic<boolean> {
  if (process === null) return false;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  return !process.zombie;
}

/** The two largest holes apart, pages [start, end) three times; null where there are no two. */
export function* damonVaThreeRegions(_k: Kernel, mm: Mm): MaySleep<[number, number][] | null> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const { vmas } = mm;
  const holes = vmas.slice(1).map((vma, i) => ({ start: vmas[i]!.endVpn, end: vma.startVpn }));
  const largest = holes
    .filter(({ start, end }) => end > start)
    .sort((a, b) => b.end - b.start - (a.end - a.start))
    .slice(0, 2)
    .sort((a, b) => a.start - b.start);
  const [first, second] = largest;
  const regions: [number, number][] | null =
    first === undefined || second === undefined ? null : [[vmas[0]!.startVpn, first.start], [first.end, second.start], [second.end, vmas.at(-1)!.endVpn]];
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return regions;
}

function* threeRegionsOf(k: Kernel, target: DamonTarget): MaySleep<[number, number][] | null> {
  const mm = yield* k.damonVaddr.damonGetMm(k, target);
  if (mm === null) return null;
  const regions = yield* k.damonVaddr.damonVaThreeRegions(k, mm);
  yield* k.fork.mmput(k, mm);
  return regions;
}

export function* damonVaInit(k: Kernel, ctx: DamonContext): MaySleep<void> {
  for (const target of ctx.targets) if (target.regions.length === 0) yield* k.damonVaddr.damonVaInitRegions(k, ctx, target);
}

/** The three regions, in pieces of which there are as many as is asked for. */
export function* damonVaInitRegions(k: Kernel, ctx: DamonContext, target: DamonTarget): MaySleep<void> {
  const ranges = yield* threeRegionsOf(k, target);
  if (ranges === null) return;
  const pages = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
  const size = Math.max(1, Math.floor(pages / ctx.attrs.minRegions));
  target.regions = ranges.flatMap(([start, end]) => {
    const pieces = Math.max(1, Math.floor((end - start) / size));
    const each = Math.floor((end - start) / pieces);
    return Array.from({ length: pieces }, (_, i) => new DamonRegion(start + i * each, i === pieces - 1 ? end : start + (i + 1) * each));
  });
}

/** Follows what was mapped and unmapped. */
export function* damonVaUpdate(k: Kernel, ctx: DamonContext): MaySleep<void> {
  for (const target of ctx.targets) {
    const ranges = yield* threeRegionsOf(k, target);
    if (ranges !== null) k.damonCore.damonSetRegions(k, target, ranges);
  }
}

/** Does something with the entry of each region's sample, where there is one. */
export function* eachSample(
  k: Kernel,
  ctx: DamonContext,
  visit: (region: DamonRegion, vma: Vma | null, entry: number) => Atomic<void>,
): MaySleep<void> {
  const { m } = k;
  for (const target of ctx.targets) {
    const mm = yield* k.damonVaddr.damonGetMm(k, target);
    if (mm === null) continue;
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    for (const region of target.regions) {
      const vpn = region.sampling;
      const vma = mm.vmaAt(vpn);
      const entry = vma === null || vma.isHugetlb ? -1 : m.pt.find(mm.pgd, vpn);
      if (entry < 0) {
        yield* visit(region, null, -1);
        continue;
      }
      const ptl = m.pt.lockOf(entry);
      if (!ptl.tryLock()) yield* ptl.lock();
      if (m.point(Op.PteRead, entry)) yield SWITCH;
      const there = m.pt.find(mm.pgd, vpn) === entry && ptePresent(m.pt.flags(entry));
      yield* visit(region, there ? vma : null, entry);
      if (!ptl.tryUnlock()) yield* ptl.unlock();
    }
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    yield* k.fork.mmput(k, mm);
  }
}

/** Chooses a page of each region, and makes it old. */
export function* damonVaPrepareAccessChecks(k: Kernel, ctx: DamonContext): MaySleep<void> {
  for (const { regions } of ctx.targets) for (const region of regions) region.sampling = region.start + k.m.choices.pick("damon", region.pages);
  yield* k.damonVaddr.eachSample(k, ctx, function* (region, vma, entry) {
    if (vma !== null) yield* k.damon.damonPtepMkold(k, vma, region.sampling, entry, k.m.pt.isHuge(entry));
  });
}

/** Whether those pages have been used since. */
export function* damonVaCheckAccesses(k: Kernel, ctx: DamonContext): MaySleep<number> {
  const { m } = k;
  let most = 0;
  yield* k.damonVaddr.eachSample(k, ctx, function* (region, vma, entry) {
    let young = false;
    if (vma !== null) {
      const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfnFor(entry, region.sampling)));
      m.touches(Op.PageFlags, folio);
      young = k.damon.pteYoung(m.pt.flags(entry)) || !m.memmap.has(folio, PG.idle) || (yield* k.mmuNotifier.mmuNotifierTestYoung(k, vma.mm, region.sampling));
    }
    k.damonCore.damonUpdateRegionAccessRate(k, region, young, ctx);
    most = Math.max(most, region.accesses);
  });
  return most;
}

/** As if the process had asked for it (madvise(2)); what is not all there counts for nothing. */
export function* damosMadvise(k: Kernel, target: DamonTarget, { start, pages }: DamonRegion, advice: Madv): MaySleep<number> {
  const mm = yield* k.damonVaddr.damonGetMm(k, target);
  if (mm === null) return 0;
  const error = yield* k.madvise.doMadvise(k, mm, start * PAGE_SIZE, pages * PAGE_SIZE, advice);
  yield* k.fork.mmput(k, mm);
  return error === 0 ? pages * PAGE_SIZE : 0;
}

export const VADDR: DamonOperations = {
  init: (k, ctx) => k.damonVaddr.damonVaInit(k, ctx),
  update: (k, ctx) => k.damonVaddr.damonVaUpdate(k, ctx),
  prepareAccessChecks: (k, ctx) => k.damonVaddr.damonVaPrepareAccessChecks(k, ctx),
  checkAccesses: (k, ctx) => k.damonVaddr.damonVaCheckAccesses(k, ctx),
  targetValid: (k, target) => k.damonVaddr.damonVaTargetValid(k, target),
  *applyScheme(k, _ctx, target, region, { action }) {
    const advice = ADVICE[action];
    return { applied: advice === undefined ? 0 : yield* k.damonVaddr.damosMadvise(k, target, region, advice), passed: 0 };
  },
};

/** The same for regions that the user has given, which stay what they are. */
export const FVADDR: DamonOperations = {
  ...VADDR,
  *init() {
    yield* [];
  },
  *update() {
    yield* [];
  },
};
