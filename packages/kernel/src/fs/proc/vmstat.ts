import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { HPAGE_PMD_NR } from "../../arch/pgtable.js";
import { Lru, LRU_LISTS } from "../../mm/lruvec.js";
import { PG } from "../../mm/page.js";
import { PAGEBLOCK_ORDER } from "../../mm/pageblock.js";
import { folioLruList } from "../../mm/swap.js";
import { MAX_PAGE_ORDER, type NumaStats, type Zone } from "../../mm/zone.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { lruTotals } from "./meminfo.js";
import { nodeState } from "./node_state.js";

/** What a struct page takes, in bytes. */
const STRUCT_PAGE_SIZE = 64;
/** vm.dirty_ratio and vm.dirty_background_ratio. */
const DIRTY_RATIO = 20;
const DIRTY_BACKGROUND_RATIO = 10;

export type Counter = readonly [name: string, n: number];

const LRU_NAMES: readonly (readonly [string, Lru])[] = [
  ["inactive_anon", Lru.inactiveAnon],
  ["active_anon", Lru.activeAnon],
  ["inactive_file", Lru.inactiveFile],
  ["active_file", Lru.activeFile],
  ["unevictable", Lru.unevictable],
];

/** What of a zone's pages is told by their flags alone: they are looked at one by one. */
interface ZoneUse {
  readonly lru: number[];
  mlocked: number;
  writePending: number;
}

/** The use of each zone, by its place in the list. LRU lists belong to cgroups, so their pages are counted one by one. */
export function zoneUses(k: Kernel): ZoneUse[] {
  const { memmap, zones } = k.m;
  const uses = zones.list.map((): ZoneUse => ({ lru: new Array<number>(LRU_LISTS).fill(0), mlocked: 0, writePending: 0 }));
  for (let page = 0; page < memmap.ramPages; page++) {
    if (!memmap.has(page, PG.lru | PG.mlocked | PG.writeback)) continue;
    const use = uses[zones.zoneOf(page).index]!;
    const pages = memmap.folioPages(page);
    if (memmap.has(page, PG.lru)) use.lru[folioLruList(k, page)]! += pages;
    if (memmap.has(page, PG.mlocked)) use.mlocked += pages;
    if (memmap.has(page, PG.writeback)) use.writePending += pages;
  }
  return uses;
}

/** Free pages in blocks of at least a pageblock. */
function freeInBlocks(zone: Zone): number {
  let pages = 0;
  for (let order = PAGEBLOCK_ORDER; order <= MAX_PAGE_ORDER; order++) pages += zone.freeBlocks(order) << order;
  return pages;
}

/** Counters of a zone, in the order of zoneinfo and vmstat. */
export function zoneCounters(zone: Zone, use: ZoneUse): Counter[] {
  return [
    ["nr_free_pages", zone.free],
    ["nr_free_pages_blocks", freeInBlocks(zone)],
    ...LRU_NAMES.map(([name, lru]): Counter => [`nr_zone_${name}`, use.lru[lru]!]),
    ["nr_zone_write_pending", use.writePending],
    ["nr_mlock", use.mlocked],
    ["nr_zspages", 0],
    ["nr_free_cma", 0],
    ["numa_hit", zone.numaStats.hit],
    ["numa_miss", zone.numaStats.miss],
    ["numa_foreign", zone.numaStats.foreign],
    ["numa_interleave", zone.numaStats.interleave],
    ["numa_local", zone.numaStats.local],
    ["numa_other", zone.numaStats.other],
  ];
}


/** Events by their names; those that cannot happen here are 0. */
function eventCounters(k: Kernel, ...names: readonly string[]): Counter[] {
  const events: Readonly<Record<string, number>> = k.m.vmstat.events;
  return names.map((name) => [name, events[name] ?? 0]);
}

/** Counters of a node, or of all together, in the order of zoneinfo and vmstat. */
export function nodeCounters(k: Kernel, node?: number): Counter[] {
  const { events } = k.m.vmstat;
  const { pages, lru } = nodeState(k, node);
  const of = (...names: readonly string[]): Counter[] => eventCounters(k, ...names);
  return [
    ...LRU_NAMES.map(([name, list]): Counter => [`nr_${name}`, lru[list]!]),
    ...of("nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon", "nr_isolated_file"),
    ...of("workingset_nodes", "workingset_refault_anon", "workingset_refault_file"),
    ...of("workingset_activate_anon", "workingset_activate_file"),
    ...of("workingset_restore_anon", "workingset_restore_file", "workingset_nodereclaim"),
    ["nr_anon_pages", pages.anonMapped],
    ["nr_mapped", pages.fileMapped],
    // The swap cache counts as file pages.
    ["nr_file_pages", pages.filePages + pages.swapcached],
    ["nr_dirty", pages.dirty],
    ["nr_writeback", pages.writeback],
    ["nr_shmem", pages.shmem],
    ["nr_shmem_hugepages", Math.floor(pages.shmemThps / HPAGE_PMD_NR)],
    ["nr_shmem_pmdmapped", Math.floor(pages.shmemPmdMapped / HPAGE_PMD_NR)],
    ...of("nr_file_hugepages", "nr_file_pmdmapped"),
    ["nr_anon_transparent_hugepages", Math.floor(pages.anonThp / HPAGE_PMD_NR)],
    // What is written is what reclaim writes to swap.
    ["nr_vmscan_write", events.pswpout],
    ...of("nr_vmscan_immediate_reclaim", "nr_dirtied"),
    ["nr_written", events.pswpout - pages.writeback],
    ...of("nr_throttled_written", "nr_kernel_misc_reclaimable", "nr_foll_pin_acquired", "nr_foll_pin_released", "nr_vmalloc"),
    ["nr_kernel_stack", pages.kernelStack * 4],
    ["nr_page_table_pages", pages.pageTables],
    ...of("nr_sec_page_table_pages", "nr_iommu_pages"),
    ["nr_swapcached", pages.swapcached],
    ...of("pgpromote_success", "pgpromote_candidate", "pgpromote_candidate_nrl"),
    ...of("pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged", "pgdemote_proactive"),
    ...of("pgsteal_kswapd", "pgsteal_direct", "pgsteal_khugepaged", "pgsteal_proactive", "pgsteal_anon", "pgsteal_file"),
    ...of("pgscan_kswapd", "pgscan_direct", "pgscan_khugepaged", "pgscan_proactive", "pgscan_anon", "pgscan_file", "pgrefill"),
    ...of("nr_hugetlb", "nr_balloon_pages", "nr_kernel_file_pages", "nr_gpu_active", "nr_gpu_reclaim"),
  ];
}

/** The events in the order of vmstat. */
const EVENT_NAMES: readonly string[] = (
  "pgpgin pgpgout pswpin pswpout pgalloc_dma32 pgalloc_normal pgalloc_movable pgalloc_device " +
  "allocstall_dma32 allocstall_normal allocstall_movable allocstall_device " +
  "pgskip_dma32 pgskip_normal pgskip_movable pgskip_device pgfree pgactivate pgdeactivate pglazyfree " +
  "pgfault pgmajfault pglazyfreed pgreuse pgscan_direct_throttle zone_reclaim_success zone_reclaim_failed " +
  "pginodesteal slabs_scanned kswapd_inodesteal kswapd_low_wmark_hit_quickly kswapd_high_wmark_hit_quickly " +
  "pageoutrun pgrotated drop_pagecache drop_slab oom_kill " +
  "numa_pte_updates numa_huge_pte_updates numa_hint_faults numa_hint_faults_local numa_pages_migrated " +
  "pgmigrate_success pgmigrate_fail thp_migration_success thp_migration_fail thp_migration_split " +
  "compact_migrate_scanned compact_free_scanned compact_isolated compact_stall compact_fail compact_success " +
  "compact_daemon_wake compact_daemon_migrate_scanned compact_daemon_free_scanned " +
  "htlb_buddy_alloc_success htlb_buddy_alloc_fail cma_alloc_success cma_alloc_fail " +
  "unevictable_pgs_culled unevictable_pgs_scanned unevictable_pgs_rescued unevictable_pgs_mlocked " +
  "unevictable_pgs_munlocked unevictable_pgs_cleared unevictable_pgs_stranded " +
  "thp_fault_alloc thp_fault_fallback thp_fault_fallback_charge thp_collapse_alloc thp_collapse_alloc_failed " +
  "thp_file_alloc thp_file_fallback thp_file_fallback_charge thp_file_mapped " +
  "thp_split_page thp_split_page_failed thp_deferred_split_page thp_underused_split_page thp_split_pmd " +
  "thp_scan_exceed_none_pte thp_scan_exceed_swap_pte thp_scan_exceed_share_pte thp_split_pud " +
  "thp_zero_page_alloc thp_zero_page_alloc_failed thp_swpout thp_swpout_fallback " +
  "balloon_inflate balloon_deflate balloon_migrate swap_ra swap_ra_hit swpin_zero swpout_zero " +
  "ksm_swpin_copy cow_ksm zswpin zswpout zswpwb"
).split(" ");

/** Pages that may be dirty before writers are throttled, at a share (in percent) of what could be. */
function dirtyThreshold(k: Kernel, lru: readonly number[], percent: number): number {
  const free = k.m.zones.freePages();
  const dirtyable = free - Math.min(free, k.m.zones.reservePages()) + lru[Lru.inactiveFile]! + lru[Lru.activeFile]! + 1;
  return Math.floor((dirtyable * percent) / 100);
}

/** Counters of the zones of a node, or of all, together. */
function summedZones(k: Kernel, node?: number): Counter[] {
  const { zones } = k.m;
  const { pages, lru } = nodeState(k, node);
  const total = new Map<string, number>();
  const none: ZoneUse = { lru: new Array<number>(LRU_LISTS).fill(0), mlocked: 0, writePending: 0 };
  for (const zone of node === undefined ? zones.list : zones.ofNode(node)) {
    for (const [name, n] of zoneCounters(zone, none)) total.set(name, (total.get(name) ?? 0) + n);
  }
  for (const [name, list] of LRU_NAMES) total.set(`nr_zone_${name}`, lru[list]!);
  total.set("nr_mlock", pages.mlock);
  total.set("nr_zone_write_pending", pages.dirty + pages.writeback);
  return [...total];
}

function lines(counters: readonly Counter[]): string {
  return counters.map(([name, n]) => `${name} ${n}\n`).join("");
}

/** /proc/vmstat, with the lines of a riscv64 kernel that has huge pages, NUMA, compaction, KSM and zswap. */
export function* showVmstat(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  const lru = lruTotals(k);
  return lines([
    ...summedZones(k),
    ...nodeCounters(k),
    ["nr_dirty_threshold", dirtyThreshold(k, lru, DIRTY_RATIO)],
    ["nr_dirty_background_threshold", dirtyThreshold(k, lru, DIRTY_BACKGROUND_RATIO)],
    ["nr_memmap_pages", 0],
    ["nr_memmap_boot_pages", (k.m.memmap.ramPages * STRUCT_PAGE_SIZE) / PAGE_SIZE],
    ...eventCounters(k, ...EVENT_NAMES),
    ["nr_unstable", 0],
  ]);
}

/** /sys/devices/system/node/nodeN/vmstat: the same without what belongs to no node. */
export function nodeVmstat(k: Kernel, node: number): string {
  return lines([...summedZones(k, node), ...nodeCounters(k, node)]);
}

/** /sys/devices/system/node/nodeN/numastat. */
export function numastat(k: Kernel, node: number): string {
  const rows: readonly (readonly [name: string, of: keyof NumaStats])[] = [
    ["numa_hit", "hit"],
    ["numa_miss", "miss"],
    ["numa_foreign", "foreign"],
    ["interleave_hit", "interleave"],
    ["local_node", "local"],
    ["other_node", "other"],
  ];
  return lines(rows.map(([name, of]) => [name, k.m.zones.ofNode(node).reduce((sum, zone) => sum + zone.numaStats[of], 0)]));
}
