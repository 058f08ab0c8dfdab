import type { ViolationKind } from "./violation.js";

interface Symptoms {
  /** What a real kernel shows of a rule that is broken. */
  readonly look: string;
  /** Options of its configuration that make it look, besides those that always help. */
  readonly options: readonly string[];
}

/** Helps with every kind. */
export const OPTIONS = ["CONFIG_DEBUG_VM=y", "CONFIG_KASAN=y"];

const USE_AFTER_FREE = '"BUG: Bad page state", or page_table_check\'s BUG, as a page is freed or allocated again; KASAN where the kernel itself reads or writes it; words that nobody wrote';
const COUNTS = '"BUG: Bad page state" with a count that is not 0, "VM_BUG_ON_PAGE", or a refcount warning';
const CHECKED_TABLES = ["CONFIG_PAGE_TABLE_CHECK=y", "CONFIG_PAGE_TABLE_CHECK_ENFORCED=y"];
const HANGS = "a round that does not end, which this program tells; \"task … blocked for more than 120 seconds\", or a soft lockup";
const HANG_OPTIONS = ["CONFIG_DETECT_HUNG_TASK=y", "CONFIG_SOFTLOCKUP_DETECTOR=y", "CONFIG_PROVE_LOCKING=y"];

export const SYMPTOMS: Readonly<Record<ViolationKind, Symptoms>> = {
  "freed-while-mapped": { look: USE_AFTER_FREE, options: CHECKED_TABLES },
  "use-after-free": { look: USE_AFTER_FREE, options: CHECKED_TABLES },
  "exclusive-access": { look: "words that this program finds wrong: the CPU and the device have used the page at once", options: [] },
  "lock-on-free": { look: '"BUG: Bad page state" with "locked" among the flags, or VM_BUG_ON_FOLIO(!folio_test_locked(folio))', options: [] },
  refcount: { look: COUNTS, options: [] },
  "page-cache": { look: `${COUNTS}; "BUG: Bad page cache"`, options: CHECKED_TABLES },
  mapcount: { look: `${COUNTS}; "BUG: Bad page map"`, options: CHECKED_TABLES },
  rss: { look: '"BUG: Bad rss-counter state", as this program exits', options: [] },
  memcg: { look: "a warning of page_counter_cancel() or of the cgroup as it is removed; memory.current that does not fall back", options: ["CONFIG_MEMCG=y"] },
  swap: { look: '"Bad swap file entry", "Unused swap offset entry", or swap that stays in use after the program', options: ["CONFIG_SWAP=y"] },
  lru: { look: "list corruption, or counts of LRU lists in /proc/vmstat that drift", options: ["CONFIG_DEBUG_LIST=y"] },
  ksm: { look: "words that this program finds wrong in a page that another mapping has written", options: ["CONFIG_KSM=y"] },
  hugetlb: { look: "HugePages_Free and HugePages_Rsvd in /proc/meminfo that are not what they were once the program has ended", options: ["CONFIG_HUGETLBFS=y"] },
  pin: { look: "VM_WARN_ON in sanity_check_pinned_pages(), or what a device writes going nowhere", options: [] },
  "anon-exclusive": { look: "VM_BUG_ON_PAGE or VM_WARN_ON about PageAnonExclusive", options: [] },
  "stale-tlb": { look: "words that this program finds wrong: a CPU has gone on through what its TLB had", options: [] },
  "device-table": { look: "words that this program finds wrong, and KASAN in lib/test_hmm.c: the device uses a page that the process has no more", options: CHECKED_TABLES },
  "device-memory": { look: `words that this program finds wrong, or a crash in whoever touches what has no memory; ${COUNTS}`, options: [...CHECKED_TABLES, "CONFIG_DEVICE_PRIVATE=y"] },
  "migration-entry": { look: `VM_BUG_ON about the folio of a migration entry; else ${HANGS}`, options: HANG_OPTIONS },
  "page-table-lock": { look: '"WARNING: suspicious" of a lock assertion; else what an entry that two writers tear apart leads to: "BUG: Bad page map"', options: ["CONFIG_PROVE_LOCKING=y", ...CHECKED_TABLES] },
  vma: { look: '"BUG: Bad page map", a Bad rss-counter state as the program exits, or an access that should have failed', options: CHECKED_TABLES },
  rmap: { look: "a page that reclaim and migration cannot move: look at what this program finds wrong, and at memory that stays in use", options: [] },
  leak: { look: "memory that is not free after the program (MemFree in /proc/meminfo falls from run to run)", options: ["CONFIG_DEBUG_KMEMLEAK=y"] },
  "lock-order": { look: '"possible circular locking dependency detected"', options: ["CONFIG_PROVE_LOCKING=y"] },
  "lock-held": { look: "the kernel log: an assertion that a lock is held", options: ["CONFIG_PROVE_LOCKING=y", "CONFIG_DEBUG_VM=y"] },
  "atomic-sleep": { look: '"BUG: sleeping function called from invalid context", "BUG: scheduling while atomic"', options: ["CONFIG_DEBUG_ATOMIC_SLEEP=y"] },
  "notifier-protocol": { look: "nothing by itself: what a device does with a stale translation shows as words that this program finds wrong", options: [] },
  "notifier-recursion": { look: `"possible recursive locking detected"; else ${HANGS}`, options: HANG_OPTIONS },
  deadlock: { look: HANGS, options: HANG_OPTIONS },
  livelock: { look: HANGS, options: HANG_OPTIONS },
  outcome: { look: "what this program says itself: a word that is wrong, or a signal", options: [] },
  engine: { look: "nothing in particular: the checker itself has failed here", options: [] },
  nondeterminism: { look: "nothing in particular: the checker could not repeat the execution", options: [] },
};
