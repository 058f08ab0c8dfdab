import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { parseInteger, TextFile, type PseudoDir } from "../pseudo.js";
import { addSysctlNumber, type SysctlNumber } from "./sysctl_number.js";

const INT_MAX = 2 ** 31 - 1;
const INT_MIN = -(2 ** 31);
/** A CPU's lists have an eighth of a zone at most. */
const HIGH_FRACTION_MIN = 8;

/* Numbers of /proc/sys/vm (Documentation/admin-guide/sysctl/vm.rst). */

/** Those on which something depends. */
const SETTINGS: Readonly<Record<string, SysctlNumber>> = {
  min_free_kbytes: { min: 0, max: INT_MAX, get: (k) => k.m.zones.minFreeKbytes, set: (k, value) => k.m.zones.setMinFreeKbytes(value) },
  watermark_scale_factor: {
    min: 1,
    max: 3000,
    get: (k) => k.m.zones.watermarkScaleFactor,
    set: (k, value) => k.m.zones.setWatermarkScaleFactor(value),
  },
  "page-cluster": { min: 0, max: 31, get: (k) => k.m.vmSysctl.pageCluster, set: (k, value) => void (k.m.vmSysctl.pageCluster = value) },
  enable_soft_offline: { min: 0, max: 1, get: (k) => k.m.vmSysctl.enableSoftOffline, set: (k, value) => void (k.m.vmSysctl.enableSoftOffline = value) },
  oom_kill_allocating_task: {
    min: INT_MIN,
    max: INT_MAX,
    get: (k) => k.m.vmSysctl.oomKillAllocatingTask,
    set: (k, value) => void (k.m.vmSysctl.oomKillAllocatingTask = value),
  },
  percpu_pagelist_high_fraction: {
    min: 0,
    max: INT_MAX,
    get: (k) => k.m.vmSysctl.withoutEffect.get("percpu_pagelist_high_fraction") ?? 0,
    *set(k, value): MaySleep<number> {
      if (k.m.point(Op.Stats, 0)) yield SWITCH;
      if (value > 0 && value < HIGH_FRACTION_MIN) return -Errno.EINVAL;
      k.m.vmSysctl.withoutEffect.set("percpu_pagelist_high_fraction", value);
      return 0;
    },
  },
  page_lock_unfairness: { min: 0, max: INT_MAX, get: (k) => k.m.pageLockUnfairness, set: (k, value) => void (k.m.pageLockUnfairness = value) },
};

/** Those that are taken and given back, with what they begin with: what they would change does not exist here. */
const WITHOUT_EFFECT: Readonly<Record<string, readonly [initial: number, min: number, max: number]>> = {
  compact_unevictable_allowed: [1, 0, 1],
  compaction_proactiveness: [20, 0, 100],
  defrag_mode: [0, 0, 1],
  dirty_background_bytes: [0, 1, Number.MAX_SAFE_INTEGER],
  dirty_background_ratio: [10, 0, 100],
  dirty_bytes: [0, 8192, Number.MAX_SAFE_INTEGER],
  dirty_expire_centisecs: [3000, 0, INT_MAX],
  dirty_ratio: [20, 0, 100],
  dirty_writeback_centisecs: [500, 0, INT_MAX],
  dirtytime_expire_seconds: [43200, 0, INT_MAX],
  extfrag_threshold: [500, 0, 1000],
  laptop_mode: [0, INT_MIN, INT_MAX],
  legacy_va_layout: [0, 0, INT_MAX],
  min_slab_ratio: [5, 0, 100],
  min_unmapped_ratio: [1, 0, 100],
  numa_stat: [1, 0, 1],
  oom_dump_tasks: [1, INT_MIN, INT_MAX],
  panic_on_oom: [0, 0, 2],
  stat_interval: [1, INT_MIN, INT_MAX],
  swappiness: [60, 0, 200],
  vfs_cache_pressure: [100, 0, INT_MAX],
  vfs_cache_pressure_denom: [100, 100, INT_MAX],
  watermark_boost_factor: [15000, 0, INT_MAX],
  zone_reclaim_mode: [0, 0, INT_MAX],
};

/** The files of /proc/sys/vm that are numbers, and those that do something when they are written to. */
export function populateVmSettings(vm: PseudoDir): void {
  for (const [name, setting] of Object.entries(SETTINGS)) addSysctlNumber(vm, name, setting);
  for (const [name, [initial, min, max]] of Object.entries(WITHOUT_EFFECT)) {
    addSysctlNumber(vm, name, {
      min,
      max,
      get: (k) => k.m.vmSysctl.withoutEffect.get(name) ?? initial,
      set: (k, value) => void k.m.vmSysctl.withoutEffect.set(name, value),
    });
  }
  vm.add("lowmem_reserve_ratio", new TextFile(vm.fs, { mode: 0o644, strict: true, show: showLowmemReserve, store: storeLowmemReserve }));
  vm.add("numa_zonelist_order", new TextFile(vm.fs, { mode: 0o644, strict: true, show: showZonelistOrder, store: storeZonelistOrder }));
  addSysctlNumber(vm, "compact_memory", { min: 1, max: 1, set: compactMemory });
  addSysctlNumber(vm, "drop_caches", { min: 1, max: 4, set: dropCaches });
  vm.add("stat_refresh", new TextFile(vm.fs, { mode: 0o600, strict: true, show: showStatRefresh, store: storeStatRefresh }));
}

export function* compactMemory(k: Kernel): MaySleep<number> {
  for (let node = 0; node < k.m.nodes.count; node++) yield* k.compaction.compactNode(k, node);
  return 0;
}

function* showLowmemReserve(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return `${k.m.zones.lowmemReserveRatio.join("\t")}\n`;
}

/** Takes as many numbers as there are, from the first zone on; what is none ends them, and is no error. */
function* storeLowmemReserve(k: Kernel, text: string): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  const ratios = [...k.m.zones.lowmemReserveRatio];
  const words = text.split(/\s+/).filter((word) => word !== "");
  for (const [i, word] of words.slice(0, ratios.length).entries()) {
    const value = parseInteger(word);
    if (value === null || value > INT_MAX) break;
    ratios[i] = Math.max(0, value);
  }
  k.m.zones.setLowmemReserveRatio(ratios);
  return 0;
}

function* showZonelistOrder(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return "Node\n";
}

/** There is one order, which may be asked for by either of its names. */
function* storeZonelistOrder(k: Kernel, text: string): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return /^[dDnN]/.test(text) ? 0 : -Errno.EINVAL;
}

/** Counters are always what they should be: there is nothing to refresh. */
function* showStatRefresh(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return "";
}

function* storeStatRefresh(k: Kernel): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return 0;
}

/**
 * Drops clean page cache and reclaimable kernel objects. Files live in tmpfs, whose pages are
 * their only copy, so there is no cache to drop.
 */
function* dropCaches(k: Kernel, value: number): MaySleep<number> {
  if ((value & 1) !== 0) k.m.vmstat.events.drop_pagecache++;
  if ((value & 2) !== 0) k.m.vmstat.events.drop_slab++;
  yield* k.swap.lruAddDrainAll(k);
  if ((value & 2) !== 0) while ((yield* k.vmscan.shrinkSlab(k, k.m.memcgs.root)) > 0);
  const task = k.m.current!;
  k.m.dmesg.print(`${task.comm} (${task.id}): drop_caches: ${value}`);
  return 0;
}
