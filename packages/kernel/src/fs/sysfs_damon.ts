import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { DAMOS_ACTIONS, DAMOS_FILTERS, DamonContext, type Bounds, type DamonAttrs, type DamonOperations, type DamonOpsName, type DamonTarget, type DamosAction, type DamosFilter, type DamosScheme, type TriedRegion } from "../mm/damon_types.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { parseBool, PseudoDir, TextFile, type PseudoFs } from "./pseudo.js";
import { SYSFS_FILE_SIZE } from "./sysfs_file.js";

const UINT_MAX = 2n ** 32n - 1n;
const ULONG_MAX = 2n ** 64n - 1n;
const INT_MAX = 2 ** 31 - 1;
/** What a directory with all that is in it takes of memory, about: where there is no room for so many, none is made. */
const DIRECTORY_BYTES = 2 ** 16;

const OPERATIONS: readonly DamonOpsName[] = ["vaddr", "fvaddr", "paddr"];
/** Filters that are about addresses come first, and need no look at pages. */
const CORE_FILTERS: ReadonlySet<DamosFilter["type"]> = new Set(["addr", "target"]);

/** An unsigned number as kstrtoul() takes it with base 0; null when it is none. */
function parseNumber(text: string): bigint | null {
  const match = /^\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)\n?$/.exec(text);
  if (match === null) return null;
  const digits = match[1]!;
  return BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
}

/** One number that is kept until monitoring begins. */
interface Field {
  value: bigint;
}

interface Range {
  readonly min: Field;
  readonly max: Field;
}

const boundsOf = ({ min, max }: Range): Bounds => ({ min: Number(min.value), max: Number(max.value) });

interface FilterDir {
  type: DamosFilter["type"];
  matching: boolean;
  allow: boolean;
  memcgPath: string;
  readonly start: Field;
  readonly end: Field;
  readonly target: Field;
}

interface SchemeDir {
  action: DamosAction;
  readonly size: Range;
  readonly accesses: Range;
  readonly age: Range;
  readonly applyUs: Field;
  readonly quota: { readonly ms: Field; readonly bytes: Field; readonly resetMs: Field; effective: number };
  /** Of either kind, of those for addresses, and of those for pages. */
  readonly filters: readonly (readonly FilterDir[])[];
  readonly tried: { readonly dir: PseudoDir; bytes: number };
  stats: DamosScheme["stats"];
}

interface TargetDir {
  pid: number;
  readonly regions: readonly Range[];
}

interface ContextDir {
  operations: DamonOpsName;
  readonly sampleUs: Field;
  readonly aggrUs: Field;
  readonly updateUs: Field;
  readonly regions: Range;
  readonly targets: readonly TargetDir[];
  readonly schemes: readonly SchemeDir[];
}

interface KdamondDir {
  readonly contexts: readonly ContextDir[];
  /** What was begun last, whether or not it still runs; null before the first. */
  running: DamonContext | null;
}

const NO_STATS: DamosScheme["stats"] = { tried: 0, triedBytes: 0, applied: 0, appliedBytes: 0, filterPassedBytes: 0, quotaExceeds: 0 };

/** /sys/kernel/mm/damon/admin (Documentation/admin-guide/mm/damon/usage.rst). Directories come and go with the numbers in nr_ files. */
export class DamonSysfs {
  private readonly kdamonds: readonly KdamondDir[];

  constructor(
    private readonly fs: PseudoFs,
    mm: PseudoDir,
  ) {
    const dir = mm.dir("damon", 0o755).dir("admin", 0o755).dir("kdamonds", 0o755);
    this.kdamonds = this.numbered(dir, "nr_kdamonds", (one, i) => this.kdamond(one, i), { busy: () => this.kdamonds.some(({ running }) => isOn(running)) });
  }

  /* Directories. */

  private kdamond(dir: PseudoDir, number: number): KdamondDir {
    const kdamond: KdamondDir = { running: null, contexts: this.numbered(dir.dir("contexts", 0o755), "nr_contexts", (one) => this.context(one), { max: 1 }) };
    this.file(dir, "state", () => (isOn(kdamond.running) ? "on" : "off"), (k, text) => this.command(k, kdamond, number, text.trimEnd()));
    this.file(dir, "pid", () => `${isOn(kdamond.running) ? kdamond.running!.thread!.id : -1}`);
    return kdamond;
  }

  private context(dir: PseudoDir): ContextDir {
    const attrs = dir.dir("monitoring_attrs", 0o755);
    const intervals = attrs.dir("intervals", 0o755);
    const context: ContextDir = {
      operations: "vaddr",
      sampleUs: this.number(intervals, "sample_us", 5_000n),
      aggrUs: this.number(intervals, "aggr_us", 100_000n),
      updateUs: this.number(intervals, "update_us", 60_000_000n),
      regions: this.range(attrs.dir("nr_regions", 0o755), ["min", "max"], [10n, 1_000n]),
      targets: this.numbered(dir.dir("targets", 0o755), "nr_targets", (one) => this.target(one)),
      schemes: this.numbered(dir.dir("schemes", 0o755), "nr_schemes", (one) => this.scheme(one)),
    };
    this.file(dir, "avail_operations", () => OPERATIONS.join("\n"));
    this.choice(dir, "operations", OPERATIONS, () => context.operations, (name) => (context.operations = name));
    return context;
  }

  private target(dir: PseudoDir): TargetDir {
    const target: TargetDir = {
      pid: 0,
      regions: this.numbered(dir.dir("regions", 0o755), "nr_regions", (one) => this.range(one, ["start", "end"])),
    };
    this.file(dir, "pid_target", () => `${target.pid}`, (_k, text) => {
      const pid = /^[-+]?\d+\n?$/.test(text) ? Number(text) : NaN;
      if (!(Math.abs(pid) <= INT_MAX)) return -Errno.EINVAL;
      target.pid = pid;
      return 0;
    });
    return target;
  }

  private scheme(dir: PseudoDir): SchemeDir {
    const pattern = dir.dir("access_pattern", 0o755);
    const quotas = dir.dir("quotas", 0o755);
    const filters = ["filters", "core_filters", "ops_filters"].map((name) => this.numbered(dir.dir(name, 0o755), "nr_filters", (one) => this.filter(one)));
    const tried = dir.dir("tried_regions", 0o755);
    const scheme: SchemeDir = {
      action: "stat",
      size: this.range(pattern.dir("sz", 0o755), ["min", "max"]),
      accesses: this.range(pattern.dir("nr_accesses", 0o755), ["min", "max"], [0n, 0n], UINT_MAX),
      age: this.range(pattern.dir("age", 0o755), ["min", "max"], [0n, 0n], UINT_MAX),
      applyUs: this.number(dir, "apply_interval_us", 0n),
      quota: { ms: this.number(quotas, "ms", 0n), bytes: this.number(quotas, "bytes", 0n), resetMs: this.number(quotas, "reset_interval_ms", 0n), effective: 0 },
      filters,
      tried: { dir: tried, bytes: 0 },
      stats: NO_STATS,
    };
    this.choice(dir, "action", DAMOS_ACTIONS, () => scheme.action, (action) => (scheme.action = action));
    this.file(quotas, "effective_bytes", () => `${scheme.quota.effective}`);
    this.file(tried, "total_bytes", () => `${scheme.tried.bytes}`);
    const stats = dir.dir("stats", 0o755);
    for (const [name, key] of [
      ["nr_tried", "tried"],
      ["sz_tried", "triedBytes"],
      ["nr_applied", "applied"],
      ["sz_applied", "appliedBytes"],
      ["sz_ops_filter_passed", "filterPassedBytes"],
      ["qt_exceeds", "quotaExceeds"],
    ] as const) {
      this.file(stats, name, () => `${scheme.stats[key]}`);
    }
    return scheme;
  }

  private filter(dir: PseudoDir): FilterDir {
    const filter: FilterDir = {
      type: "anon",
      matching: false,
      allow: false,
      memcgPath: "",
      start: this.number(dir, "addr_start", 0n),
      end: this.number(dir, "addr_end", 0n),
      target: this.number(dir, "damon_target_idx", 0n, UINT_MAX),
    };
    this.choice(dir, "type", DAMOS_FILTERS, () => filter.type, (type) => (filter.type = type));
    this.flag(dir, "matching", () => filter.matching, (on) => (filter.matching = on));
    this.flag(dir, "allow", () => filter.allow, (on) => (filter.allow = on));
    this.file(dir, "memcg_path", () => filter.memcgPath, (_k, text) => {
      filter.memcgPath = text.replace(/\n$/, "");
      return 0;
    });
    return filter;
  }

  /* Commands that are written to `state`. */

  private *command(k: Kernel, kdamond: KdamondDir, number: number, command: string): MaySleep<number> {
    const { running } = kdamond;
    switch (command) {
      case "on":
        return yield* this.turnOn(k, kdamond, number);
      case "off":
        return running === null ? -Errno.EINVAL : yield* k.damonCore.damonStop(k, running);
      case "commit":
        return yield* this.commit(k, kdamond);
      case "update_schemes_stats":
        return yield* this.ask(k, running, (ctx) => {
          schemesOf(kdamond).forEach((scheme, i) => (scheme.stats = { ...(ctx.schemes[i]?.stats ?? NO_STATS) }));
        });
      case "update_schemes_effective_quotas":
        return yield* this.ask(k, running, (ctx) => {
          schemesOf(kdamond).forEach((scheme, i) => (scheme.quota.effective = ctx.schemes[i]?.quota.effective ?? 0));
        });
      case "update_schemes_tried_bytes":
      case "update_schemes_tried_regions":
        return yield* this.updateTried(k, kdamond, command === "update_schemes_tried_regions");
      case "clear_schemes_tried_regions":
        if (!isOn(running)) return -Errno.EINVAL;
        for (const { tried } of schemesOf(kdamond)) showTried(this, tried, [], true);
        return 0;
      default:
        return -Errno.EINVAL;
    }
  }

  private *turnOn(k: Kernel, kdamond: KdamondDir, number: number): MaySleep<number> {
    if (isOn(kdamond.running)) return -Errno.EBUSY;
    const [wish] = kdamond.contexts;
    if (wish === undefined) return -Errno.EINVAL;
    const targets = targetsOf(k, wish);
    const schemes = schemesFrom(k, wish);
    if (typeof targets === "number") return targets;
    if (typeof schemes === "number") return schemes;
    const ctx = new DamonContext(k.m, operationsOf(k, wish.operations), attrsOf(wish), targets, schemes);
    const error = yield* k.damonCore.damonStart(k, ctx, `kdamond.${number}`);
    if (error === 0) kdamond.running = ctx;
    return error;
  }

  /** What was written since it began is taken over, all or nothing; what schemes have counted is kept. */
  private *commit(k: Kernel, kdamond: KdamondDir): MaySleep<number> {
    const [wish] = kdamond.contexts;
    if (!isOn(kdamond.running) || wish === undefined) return -Errno.EINVAL;
    const targets = targetsOf(k, wish);
    const schemes = schemesFrom(k, wish);
    const attrs = attrsOf(wish);
    if (typeof targets === "number") return targets;
    if (typeof schemes === "number") return schemes;
    if (attrs.minRegions < 3 || attrs.minRegions > attrs.maxRegions || attrs.sampleUs > attrs.aggrUs) return -Errno.EINVAL;
    return yield* this.ask(k, kdamond.running, (ctx) => {
      targets.forEach((target, i) => {
        const old = ctx.targets[i];
        // Regions that the user has not given are those that were found.
        if (old !== undefined && old.process === target.process && target.regions.length === 0) target.regions = old.regions;
      });
      ctx.attrs = attrs;
      ctx.targets = targets;
      ctx.schemes = schemes.map((scheme, i) => ({ ...scheme, stats: ctx.schemes[i]?.stats ?? scheme.stats, nextApply: ctx.schemes[i]?.nextApply ?? ctx.passed }));
    });
  }

  private *ask(k: Kernel, running: DamonContext | null, run: (ctx: DamonContext) => void): MaySleep<number> {
    return running === null ? -Errno.EINVAL : yield* k.damonCore.damonCall(k, running, (_k, ctx) => run(ctx));
  }

  private *updateTried(k: Kernel, kdamond: KdamondDir, regions: boolean): MaySleep<number> {
    if (kdamond.running === null) return -Errno.EINVAL;
    const walk = yield* k.damonCore.damosWalk(k, kdamond.running);
    if (typeof walk === "number") return walk;
    const { schemes } = kdamond.running;
    schemesOf(kdamond).forEach(({ tried }, i) => showTried(this, tried, walk.tried.filter(({ scheme }) => scheme === schemes[i]), regions));
    return 0;
  }

  /* Files. */

  file(dir: PseudoDir, name: string, show: () => string, store?: (k: Kernel, text: string) => number | MaySleep<number>): void {
    dir.add(
      name,
      new TextFile(this.fs, {
        mode: store === undefined ? 0o400 : 0o600,
        strict: true,
        size: SYSFS_FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return `${show()}\n`;
        },
        ...(store === undefined
          ? {}
          : {
              *store(k: Kernel, text: string): MaySleep<number> {
                if (k.m.point(Op.Stats, 0)) yield SWITCH;
                const result = store(k, text);
                return typeof result === "number" ? result : yield* result;
              },
            }),
      }),
    );
  }

  private number(dir: PseudoDir, name: string, value: bigint, max = ULONG_MAX): Field {
    const field: Field = { value };
    this.file(dir, name, () => `${field.value}`, (_k, text) => {
      const given = parseNumber(text);
      if (given === null) return -Errno.EINVAL;
      if (given > max) return -Errno.ERANGE;
      field.value = given;
      return 0;
    });
    return field;
  }

  private range(dir: PseudoDir, [min, max]: readonly [string, string], values: readonly [bigint, bigint] = [0n, 0n], most = ULONG_MAX): Range {
    return { min: this.number(dir, min, values[0], most), max: this.number(dir, max, values[1], most) };
  }

  private choice<T extends string>(dir: PseudoDir, name: string, choices: readonly T[], show: () => T, set: (value: T) => void): void {
    this.file(dir, name, show, (_k, text) => {
      const chosen = choices.find((choice) => choice === text.replace(/\n$/, ""));
      if (chosen === undefined) return -Errno.EINVAL;
      set(chosen);
      return 0;
    });
  }

  private flag(dir: PseudoDir, name: string, show: () => boolean, set: (on: boolean) => void): void {
    this.file(dir, name, () => (show() ? "Y" : "N"), (_k, text) => {
      const on = parseBool(text);
      if (on === null) return -Errno.EINVAL;
      set(on);
      return 0;
    });
  }

  /** Directories 0 to N - 1, where N is written to a file beside them: those that were there go first. */
  private numbered<T>(dir: PseudoDir, name: string, make: (dir: PseudoDir, i: number) => T, { max = INT_MAX, busy }: { readonly max?: number; readonly busy?: () => boolean } = {}): readonly T[] {
    const all: T[] = [];
    this.file(dir, name, () => `${all.length}`, ({ m }, text) => {
      const wanted = /^[-+]?\d+\n?$/.test(text) ? Number(text) : NaN;
      if (!(wanted >= 0 && wanted <= max)) return -Errno.EINVAL;
      if (busy?.() === true) return -Errno.EBUSY;
      if (wanted * DIRECTORY_BYTES > m.memmap.ramPages * PAGE_SIZE) return -Errno.ENOMEM;
      removeNumbered(dir);
      all.length = 0;
      for (let i = 0; i < wanted; i++) all.push(make(dir.dir(`${i}`, 0o755), i));
      return 0;
    });
    return all;
  }
}

function isOn(ctx: DamonContext | null): boolean {
  return ctx !== null && ctx.thread !== null;
}

function removeNumbered(dir: PseudoDir): void {
  for (const name of [...dir.children.keys()].filter((child) => /^\d+$/.test(child))) {
    dir.children.delete(name);
    dir.nlink--;
  }
}

/** What a scheme has been tried on, in bytes and, if that was asked for, region by region. */
function showTried(sysfs: DamonSysfs, tried: SchemeDir["tried"], regions: readonly TriedRegion[], withRegions: boolean): void {
  tried.bytes = regions.reduce((sum, { start, end }) => sum + (end - start) * PAGE_SIZE, 0);
  if (!withRegions) return;
  removeNumbered(tried.dir);
  regions.forEach((region, i) => {
    const dir = tried.dir.dir(`${i}`, 0o755);
    for (const [name, value] of [
      ["start", region.start * PAGE_SIZE],
      ["end", region.end * PAGE_SIZE],
      ["nr_accesses", region.accesses],
      ["age", region.age],
      ["sz_filter_passed", region.filterPassedBytes],
    ] as const) {
      sysfs.file(dir, name, () => `${value}`);
    }
  });
}

/* What was written, as what kdamond works with. */

function schemesOf(kdamond: KdamondDir): readonly SchemeDir[] {
  return kdamond.contexts[0]?.schemes ?? [];
}

function operationsOf(k: Kernel, name: DamonOpsName): DamonOperations {
  return name === "paddr" ? k.damonPaddr.PADDR : name === "vaddr" ? k.damonVaddr.VADDR : k.damonVaddr.FVADDR;
}

function attrsOf({ sampleUs, aggrUs, updateUs, regions }: ContextDir): DamonAttrs {
  const { min, max } = boundsOf(regions);
  return { sampleUs: Number(sampleUs.value), aggrUs: Number(aggrUs.value), updateUs: Number(updateUs.value), minRegions: min, maxRegions: max };
}

/** The targets; or -EINVAL for a process that is not there, several targets of physical memory, and regions that overlap. */
function targetsOf(k: Kernel, { operations, targets }: ContextDir): DamonTarget[] | number {
  const physical = operations === "paddr";
  if (physical && targets.length > 1) return -Errno.EINVAL;
  const made: DamonTarget[] = [];
  for (const { pid, regions } of targets) {
    const process = physical ? null : (k.m.tasks.get(pid)?.process ?? k.m.processes.get(pid) ?? null);
    if (!physical && process === null) return -Errno.EINVAL;
    const target: DamonTarget = { process, regions: [] };
    const ranges = regions.map(boundsOf).map(({ min, max }): [number, number] => [Math.floor(min / PAGE_SIZE), Math.ceil(max / PAGE_SIZE)]);
    const error = k.damonCore.damonSetRegions(k, target, ranges);
    if (error !== 0) return error;
    made.push(target);
  }
  return made;
}

/** The schemes; or -EINVAL for a cgroup that is not there, and a filter in a directory that is not for its kind. */
function schemesFrom(k: Kernel, { schemes }: ContextDir): DamosScheme[] | number {
  const made: DamosScheme[] = [];
  for (const { action, size, accesses, age, applyUs, quota, filters } of schemes) {
    const all: DamosFilter[] = [];
    for (const [kind, dirs] of filters.entries()) {
      for (const dir of dirs) {
        const filter = filterFrom(k, dir);
        if (filter === null || (kind > 0 && CORE_FILTERS.has(filter.type) !== (kind === 1))) return -Errno.EINVAL;
        all.push(filter);
      }
    }
    made.push({
      action,
      size: boundsOf(size),
      accesses: boundsOf(accesses),
      age: boundsOf(age),
      applyUs: Number(applyUs.value),
      coreFilters: all.filter(({ type }) => CORE_FILTERS.has(type)),
      opsFilters: all.filter(({ type }) => !CORE_FILTERS.has(type)),
      quota: k.damonCore.newQuota(k, { ms: Number(quota.ms.value), bytes: Number(quota.bytes.value), resetMs: Number(quota.resetMs.value) }),
      stats: { ...NO_STATS },
      nextApply: 0,
    });
  }
  return made;
}

function filterFrom(k: Kernel, { type, matching, allow, memcgPath, start, end, target }: FilterDir): DamosFilter | null {
  const memcg = type !== "memcg" ? null : ([...k.m.memcgs.root.subtree()].find(({ path }) => path === memcgPath) ?? null);
  if (type === "memcg" && memcg === null) return null;
  if (type === "addr" && start.value > end.value) return null;
  return { type, matching, allow, memcg, startPage: Math.ceil(Number(start.value) / PAGE_SIZE), endPage: Math.floor(Number(end.value) / PAGE_SIZE), target: Number(target.value) };
}
