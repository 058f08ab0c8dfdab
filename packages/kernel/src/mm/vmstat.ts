/** Counters of /proc/vmstat that are events; page counts are derived from their owners. */
export const VM_EVENTS = [
  "nr_foll_pin_acquired",
  "nr_foll_pin_released",
  "pgpgin",
  "pgpgout",
  "pswpin",
  "pswpout",
  "pgalloc_dma32",
  "pgalloc_normal",
  "pgalloc_movable",
  "allocstall_dma32",
  "allocstall_normal",
  "allocstall_movable",
  "pgfree",
  "pgactivate",
  "pgdeactivate",
  "pglazyfree",
  "pgfault",
  "pgmajfault",
  "pglazyfreed",
  "pgrefill",
  "pgreuse",
  "pgsteal_kswapd",
  "pgsteal_direct",
  "pgsteal_proactive",
  "pgscan_kswapd",
  "pgscan_direct",
  "pgscan_proactive",
  "pgscan_anon",
  "pgscan_file",
  "pgsteal_anon",
  "pgsteal_file",
  "pageoutrun",
  "pgrotated",
  "drop_pagecache",
  "drop_slab",
  "oom_kill",
  "numa_pte_updates",
  "numa_huge_pte_updates",
  "numa_hint_faults",
  "numa_hint_faults_local",
  "numa_pages_migrated",
  "pgmigrate_success",
  "pgmigrate_fail",
  "thp_migration_success",
  "thp_migration_fail",
  "thp_migration_split",
  "compact_migrate_scanned",
  "compact_free_scanned",
  "compact_isolated",
  "compact_stall",
  "compact_fail",
  "compact_success",
  "htlb_buddy_alloc_success",
  "htlb_buddy_alloc_fail",
  "unevictable_pgs_culled",
  "unevictable_pgs_scanned",
  "unevictable_pgs_rescued",
  "unevictable_pgs_mlocked",
  "unevictable_pgs_munlocked",
  "unevictable_pgs_cleared",
  "unevictable_pgs_stranded",
  "thp_fault_alloc",
  "thp_fault_fallback",
  "thp_fault_fallback_charge",
  "thp_collapse_alloc",
  "thp_collapse_alloc_failed",
  "thp_file_alloc",
  "thp_file_fallback",
  "thp_file_fallback_charge",
  "thp_file_mapped",
  "thp_scan_exceed_none_pte",
  "thp_scan_exceed_swap_pte",
  "thp_scan_exceed_share_pte",
  "thp_split_page",
  "thp_split_page_failed",
  "thp_deferred_split_page",
  "thp_split_pmd",
  "thp_zero_page_alloc",
  "thp_zero_page_alloc_failed",
  "thp_swpout",
  "thp_swpout_fallback",
  "swap_ra",
  "swap_ra_hit",
  "ksm_swpin_copy",
  "cow_ksm",
] as const;

export type VmEvent = (typeof VM_EVENTS)[number];

/** Page-state counters that the engine keeps by hand, in pages. */
export interface PageStates {
  anonMapped: number;
  /** Of anonymous folios that PMD entries map. */
  anonThp: number;
  /** Of folios of 2 MiB that files in memory have, and of those that PMD entries map. */
  shmemThps: number;
  shmemPmdMapped: number;
  /** Of folios with PG.mlocked. */
  mlock: number;
  hwpoison: number;
  pageTables: number;
  kernelStack: number;
  writeback: number;
  swapcached: number;
  shmem: number;
  /** Of files, in memory or not. */
  fileMapped: number;
  filePages: number;
  dirty: number;
}

export class VmStat {
  readonly events: Record<VmEvent, number>;
  readonly pages: PageStates = {
    anonMapped: 0,
    anonThp: 0,
    shmemThps: 0,
    shmemPmdMapped: 0,
    mlock: 0,
    hwpoison: 0,
    pageTables: 0,
    kernelStack: 0,
    writeback: 0,
    swapcached: 0,
    shmem: 0,
    fileMapped: 0,
    filePages: 0,
    dirty: 0,
  };

  constructor() {
    this.events = Object.fromEntries(VM_EVENTS.map((e) => [e, 0])) as Record<VmEvent, number>;
  }
}
