import { KINDS, type Kind } from "./kinds.js";
import { USES, type Use } from "./page_use.js";

/*
 * Everything that explains itself: a sentence, and where the kernel's documentation says more. A key has a kind and a
 * name: "kind 3", "flag lru", "lock ptl", "event set_pte", "function try_to_unmap".
 */

export interface Doc {
  readonly title: string;
  readonly text: string;
  /** A page of docs.kernel.org; null where none is about it. */
  readonly url: string | null;
}

/** A page of the kernel's documentation: Documentation/PATH.rst. */
function page(path: string): string {
  return `https://docs.kernel.org/${path}.html`;
}

const HMM = page("mm/hmm");
const NOTIFIER = page("mm/mmu_notifier");
const MIGRATION = page("mm/page_migration");
const PTL = page("mm/split_page_table_lock");
const TABLES = page("mm/page_tables");
const ADDRESSES = page("mm/process_addrs");
const PHYSICAL = page("mm/physical_memory");
const LRU = page("mm/multigen_lru");
const UNEVICTABLE = page("mm/unevictable-lru");
const THP = page("mm/transhuge");
const KSM = page("admin-guide/mm/ksm");
const HUGETLB = page("admin-guide/mm/hugetlbpage");
const HWPOISON = page("mm/hwpoison");
const PIN = page("core-api/pin_user_pages");
const PAGEMAP = page("admin-guide/mm/pagemap");
const UFFD = page("admin-guide/mm/userfaultfd");
const SOFT_DIRTY = page("admin-guide/mm/soft-dirty");
const IDLE = page("admin-guide/mm/idle_page_tracking");
const HOTPLUG = page("admin-guide/mm/memory-hotplug");
const CONCEPTS = page("admin-guide/mm/concepts");
const CGROUP = page("admin-guide/cgroup-v2");
const SWAP = page("mm/swap-table");
const NUMA = page("mm/numa");
const POLICY = page("admin-guide/mm/numa_memory_policy");
const TMPFS = page("filesystems/tmpfs");
const LOCKS = page("locking/locktypes");
const CACHETLB = page("core-api/cachetlb");
const KMEM = page("trace/events-kmem");
const FTRACE = page("trace/ftrace");
const EVENTS = page("trace/events");
const SCHEDULER = page("scheduler/index");

/** Links of kinds of entries, by the names of their colours. */
const KIND_PAGES: Readonly<Record<string, string>> = {
  "k-none": TABLES,
  "k-writable": TABLES,
  "k-readonly": TABLES,
  "k-zero": CONCEPTS,
  "k-protnone": TABLES,
  "k-numa": NUMA,
  "k-swap": SWAP,
  "k-migration": MIGRATION,
  "k-private": HMM,
  "k-coherent": HMM,
  "k-exclusive": HMM,
  "k-uffd": UFFD,
  "k-guard": ADDRESSES,
  "k-poison": HWPOISON,
  "k-invalid": THP,
};

const USE_PAGES: Readonly<Record<string, string>> = {
  free: PHYSICAL,
  "free, per CPU": PHYSICAL,
  anonymous: CONCEPTS,
  file: CONCEPTS,
  tmpfs: TMPFS,
  kernel: PHYSICAL,
  "page table": TABLES,
  reserved: PHYSICAL,
  "zero page": CONCEPTS,
  hugetlb: HUGETLB,
  "device-private": HMM,
  "device-coherent": HMM,
  "device-free": HMM,
  offline: HOTPLUG,
  poison: HWPOISON,
};

type Texts = Readonly<Record<string, readonly [text: string, url: string]>>;

const BITS: Texts = {
  V: ["Valid: the hardware's walk goes on, or ends here with a page.", TABLES],
  R: ["Readable. V without R, W and X points to a table.", TABLES],
  W: ["Stores may use it.", TABLES],
  X: ["Instructions may be fetched by it.", TABLES],
  U: ["User mode may use it.", TABLES],
  PROT_NONE: ["Global in the manual; without V Linux's riscv marks entries by it that have a page and grant nothing.", TABLES],
  A: ["Accessed: set by the hardware's walk.", TABLES],
  D: ["Dirty: set by the hardware at a write.", TABLES],
  SPECIAL: ["No folio is to be had from it: the zero page, or a driver's frames.", TABLES],
  SOFT_DIRTY: ["Written since somebody cleared it by /proc/PID/clear_refs; of an entry that is not present: of the one that it stands for.", SOFT_DIRTY],
  UFFD_WP: ["A userfaultfd protects it, or what it stands for.", UFFD],
  SWAP: ["Not present and not none: where the page is, or what stands for it.", SWAP],
  EXCLUSIVE: ["Nobody else has the page: a write need not copy it.", SWAP],
  YOUNG: ["Of a migration entry: accessed bit of the entry that it stands for.", MIGRATION],
  DIRTY: ["Of a migration entry: dirty bit of the entry that it stands for.", MIGRATION],
  type: ["Five bits of type: swap devices count from 0, special entries from the top.", SWAP],
};

const FLAGS: Texts = {
  locked: ["Somebody has the folio's lock: nobody else may take its contents away, or fill it in.", PAGEMAP],
  referenced: ["It was used since reclaim looked last: two such looks make it active.", PAGEMAP],
  uptodate: ["Its contents are those that they should be.", PAGEMAP],
  dirty: ["Its contents are to be written before it can be dropped.", PAGEMAP],
  lru: ["It is on one of the lists that reclaim goes through.", LRU],
  active: ["On the active list of its kind.", LRU],
  workingset: ["It was active once: its return after eviction counts as thrashing.", LRU],
  swapcache: ["It has a slot of the swap device, in `private`.", SWAP],
  swapbacked: ["It goes to swap: anonymous memory, or a file in memory.", PAGEMAP],
  reclaim: ["To be freed as soon as its writeback is done.", PAGEMAP],
  writeback: ["Its contents are being written.", PAGEMAP],
  unevictable: ["On the list that reclaim leaves alone.", UNEVICTABLE],
  mlocked: ["A VMA has it locked.", UNEVICTABLE],
  anonExclusive: ["One process has this anonymous page for itself: it may be written without a copy, and pinned.", PIN],
  readahead: ["Who reads it starts the next readahead.", CONCEPTS],
  reserved: ["Never given to the allocator.", PHYSICAL],
  buddy: ["The first page of a free block of the buddy allocator.", PHYSICAL],
  table: ["It is a page table.", TABLES],
  tail: ["Not the first page of its folio.", THP],
  waiters: ["Somebody sleeps for its lock, or its writeback.", PAGEMAP],
  young: ["Idle page tracking took its accessed bits away, and it had been used.", IDLE],
  idle: ["Not used since idle page tracking has set this.", IDLE],
  hwpoison: ["Broken, or declared so.", HWPOISON],
  hugetlb: ["A huge page of a pool.", HUGETLB],
};

const WORDS: Texts = {
  refcount: ["How many references there are to the folio. It is freed when this comes to 0.", PIN],
  mapcount: ["How many page-table entries map a page of the folio; of the whole: those that map all of it.", THP],
  pins: ["FOLL_PIN: somebody may read or write it at any time, a device most often. On a small folio each counts 1024 references; a large one has a count of its own.", PIN],
  flags: ["Page flags, of the folio's first page.", PAGEMAP],
  "LRU list": ["Which list of reclaim's it is on; none while it waits in a batch, or was isolated.", LRU],
  cgroup: ["The memory cgroup that it is charged to.", CGROUP],
  mapping: ["Where the reverse map begins: an anon_vma, or a file; the index is the page's place in it.", ADDRESSES],
};

/** Who holds references. */
const HOLDERS: Texts = {
  swapcache: ["The swap cache has one for each page: a fault finds the folio by its slot.", SWAP],
  pagecache: ["The page cache has one for each page: reads and faults find the folio by its index in the file.", CONCEPTS],
  table: ["A page table is held by the address space that it belongs to.", TABLES],
  reserved: ["The kernel's image and the memmap are never freed.", PHYSICAL],
  hwpoison: ["One that nobody drops keeps a broken page from being used again.", HWPOISON],
  batch: ["Folios on their way to an LRU list wait in a batch of their CPU, which holds one for each.", LRU],
  inflight: ["A task has it in a variable of the function that took it, and drops it before long.", PIN],
  pin: ["Somebody has pinned it: 1024 references on a small folio; one, and a pin, on a large one.", PIN],
  backing: ["The test device keeps the contents of a page of its private memory in a frame of RAM.", HMM],
  device: ["A device's own translation holds no reference: the notifier takes it away in time.", HMM],
  others: ["An entry that was just taken out, or is about to be made; or a variable of a task or a driver, which this recording does not know.", PIN],
};

const LOCK_CLASSES: Texts = {
  mmap_lock: ["Of an address space: who changes its VMAs has it for writing, who must find them stay for reading.", ADDRESSES],
  vma_lock: ["Of one VMA: faults hold it for reading instead of mmap_lock.", ADDRESSES],
  folio_lock: ["Of a folio: who has it may change what it holds, where it belongs, and whether it stays.", PAGEMAP],
  ptl: ["Of one page table: its entries are changed under it.", PTL],
  page_table_lock: ["Of an address space: upper levels of its page tables, and the pointer to its anon_vma.", PTL],
  anon_vma: ["Of an anon_vma: reverse walks hold it while they look at its VMAs.", ADDRESSES],
  i_mmap_rwsem: ["Of a file: which VMAs map it.", ADDRESSES],
  i_mmap_hugetlbfs: ["Of a file of huge pages: which VMAs map it.", ADDRESSES],
  i_rwsem: ["Of a file in tmpfs: its size and what is punched into it.", LOCKS],
  i_rwsem_dir: ["Of a directory in tmpfs: its names.", LOCKS],
  i_rwsem_hugetlbfs: ["Of a file of huge pages.", LOCKS],
  lruvec: ["Of a cgroup's LRU lists.", LRU],
  zone: ["Of a zone: its free lists.", PHYSICAL],
  swap: ["Of the swap device: its map.", SWAP],
  futex_hash: ["Of a bucket of waiting threads.", LOCKS],
  f_pos: ["Of an open file: its position.", LOCKS],
  cgroup_mutex: ["Of the cgroup tree.", CGROUP],
  device_hotplug: ["Memory blocks come and go under it, one at a time.", HOTPLUG],
  mem_hotplug: ["Written while memory comes and goes.", HOTPLUG],
  ksm_thread_mutex: ["Held while ksmd merges pages, and while what it relies on changes.", KSM],
  hugetlb: ["Of the pools of huge pages.", HUGETLB],
  hugetlb_fault: ["Of a huge page of a file: one fault at a time.", HUGETLB],
  hugetlb_resize: ["Of a pool that is made larger or smaller.", HUGETLB],
  hugetlb_subpool: ["Of what one mount may have of a pool.", HUGETLB],
  hugetlb_vma_lock: ["Of a mapping of huge pages: written while pages are taken out.", HUGETLB],
  resv_map: ["Of what a file or a mapping has reserved of huge pages.", page("mm/hugetlbfs_reserv")],
  map_changing_lock: ["Of a userfaultfd: who fills memory in reads it, who changes the address space writes it.", UFFD],
  pin_longterm_test_mutex: ["Of the pins that /sys/kernel/debug/gup_test keeps.", PIN],
  dmirror: ["The test driver's: held while it changes a device's table, and by its invalidate callback.", HMM],
  device_mirror: ["A driver's: held while it changes a device's table, and by its invalidate callback.", HMM],
};

const DRIVER_LOCKS: readonly (readonly [suffix: string, text: string])[] = [
  ["_memory", "A driver's: what is free of a device's memory."],
  ["_chunks", "A driver's: held while a device gets memory, or loses it."],
];

/** Where more stands about the functions of a file of Linux. */
const FILE_PAGES: readonly (readonly [pattern: RegExp, url: string])[] = [
  [/^mm\/hmm\.c|^lib\/test_hmm/, HMM],
  [/^mm\/(migrate_device|memremap)\.c/, HMM],
  [/^mm\/mmu_notifier\.c/, NOTIFIER],
  [/^mm\/(migrate|compaction|page_isolation)\.c/, MIGRATION],
  [/^mm\/(huge_memory|khugepaged)\.c/, THP],
  [/^mm\/ksm\.c/, KSM],
  [/^mm\/hugetlb|^fs\/hugetlbfs/, HUGETLB],
  [/^mm\/gup/, PIN],
  [/^mm\/(vmscan|swap|workingset)\.c/, LRU],
  [/^mm\/(swapfile|swap_state|page_io)\.c/, SWAP],
  [/^mm\/(mlock|secretmem)\.c/, UNEVICTABLE],
  [/^mm\/memory-failure\.c/, HWPOISON],
  [/^mm\/memcontrol/, CGROUP],
  [/^mm\/(page_alloc|mmzone|show_mem)/, PHYSICAL],
  [/^mm\/memory_hotplug\.c|^drivers\/base\/memory\.c/, HOTPLUG],
  [/^(mm|fs)\/userfaultfd\.c/, UFFD],
  [/^mm\/shmem\.c/, TMPFS],
  [/^mm\/filemap\.c/, CONCEPTS],
  [/^mm\/page_idle\.c/, IDLE],
  [/^mm\/page_owner\.c/, page("mm/page_owner")],
  [/^mm\/mempolicy\.c/, POLICY],
  [/^mm\/(memory|pgtable-generic|pagewalk|page_vma_mapped)|^arch\/riscv\/mm\/fault\.c/, TABLES],
  [/^mm\/(mmap|vma|rmap|mprotect|mremap|madvise|mmap_lock)|^kernel\/fork\.c/, ADDRESSES],
  [/tlbflush/, CACHETLB],
  [/^kernel\/locking/, LOCKS],
  [/^kernel\/sched/, SCHEDULER],
];

/** Of events, by the system that Linux has them in, or what ours begin with. */
const EVENT_PAGES: readonly (readonly [pattern: RegExp, url: string])[] = [
  [/^kmem:mm_page/, KMEM],
  [/^faultline:(mmu_|device_|mirror_|make_device)/, HMM],
  [/^faultline:(set_pte|table_free|user_access)/, TABLES],
  [/^faultline:vma_/, ADDRESSES],
  [/^faultline:folio_lock/, PAGEMAP],
  [/^faultline:funcgraph/, FTRACE],
  [/^(pagemap|vmscan):/, LRU],
  [/^mmap_lock:/, ADDRESSES],
  [/^lock:/, LOCKS],
  [/^tlb:/, CACHETLB],
  [/^(sched|task):/, SCHEDULER],
  [/^exceptions:/, TABLES],
  [/^oom:/, CONCEPTS],
  [/./, EVENTS],
];

/** What is known only where the site is built, or by the worker. */
const further = {
  functions: {} as Readonly<Record<string, readonly [sentence: string, file: string]>>,
  events: new Map<string, { readonly system: string; readonly doc: string }>(),
};

export function learnFunctions(functions: typeof further.functions): void {
  further.functions = functions;
}

export function learnEvents(events: readonly { readonly name: string; readonly system: string; readonly doc: string }[]): void {
  for (const { name, system, doc } of events) further.events.set(name, { system, doc });
}

/** What a key stands for; null where nobody has explained it. */
export function docOf(key: string): Doc | null {
  const at = key.indexOf(" ");
  const [kind, name] = [key.slice(0, at), key.slice(at + 1)];
  switch (kind) {
    case "kind": {
      const info = KINDS[Number(name) as Kind];
      return info === undefined ? null : { title: info.name, text: info.doc, url: KIND_PAGES[info.css] ?? null };
    }
    case "use": {
      const info = USES[Number(name) as Use];
      return info === undefined ? null : { title: info.name, text: info.doc, url: USE_PAGES[info.name] ?? SWAP };
    }
    case "bit":
      return of(BITS, name.startsWith("type ") ? "type" : name, name);
    case "flag":
      return of(FLAGS, name, `PG_${name.replaceAll(/([A-Z])/g, (letter) => `_${letter.toLowerCase()}`)}`);
    case "word":
      return of(WORDS, name, name);
    case "holder":
      return name.startsWith("kind-") ? docOf(`kind ${name.slice(5)}`) : of(HOLDERS, name, HOLDER_TITLES[name] ?? name);
    case "lock":
      return of(LOCK_CLASSES, name, name) ?? driverLock(name);
    case "function": {
      const known = own(further.functions, name);
      if (known === undefined) return null;
      const [sentence, file] = known;
      return { title: `${name}()${file === "" ? "" : `, ${file}`}`, text: sentence, url: FILE_PAGES.find(([pattern]) => pattern.test(file))?.[1] ?? null };
    }
    case "event": {
      const known = further.events.get(name);
      if (known === undefined) return null;
      const { system, doc } = known;
      const text = `${doc.charAt(0).toUpperCase()}${doc.slice(1)}.`;
      return { title: system === "faultline" ? name : `${system}:${name}`, text, url: EVENT_PAGES.find(([pattern]) => pattern.test(`${system}:${name}`))![1] };
    }
    default:
      return null;
  }
}

const HOLDER_TITLES: Readonly<Record<string, string>> = {
  swapcache: "swap cache",
  pagecache: "page cache",
  table: "page table",
  batch: "folio batch",
  inflight: "reference in flight",
  pin: "pin",
  backing: "memory behind a device's page",
  device: "a device's translation",
  others: "not accounted for",
};

function of(texts: Texts, name: string, title: string): Doc | null {
  const known = own(texts, name);
  return known === undefined ? null : { title, text: known[0], url: known[1] };
}

function driverLock(name: string): Doc | null {
  const found = DRIVER_LOCKS.find(([suffix]) => name.endsWith(suffix));
  return found === undefined ? null : { title: name, text: found[1], url: HMM };
}

/** Names come out of traces: "constructor" is none of ours. */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

