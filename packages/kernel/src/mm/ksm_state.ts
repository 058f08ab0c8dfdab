import { Mutex } from "../kernel/locks.js";
import { WaitQueue } from "../kernel/sched.js";
import type { Machine } from "../machine.js";
import type { AnonVma } from "./anon_vma.js";
import type { Mm } from "./mm_types.js";

/** What is written to /sys/kernel/mm/ksm/run. */
export enum KsmRun {
  Stop,
  Merge,
  /** Nothing is merged, nor was. */
  Unmerge,
}

/** No scan: of a page that is in no unstable tree. */
export const NO_SCAN = -1;

/** One page of a process that ksmd has looked at (struct ksm_rmap_item). */
export class RmapItem {
  checksum = 0;
  /** In how many scans it was looked at, up to 255, and for how many it is passed over from now on. */
  age = 0;
  remainingSkips = 0;
  /** The stable node whose page it maps, as far as ksmd knows, and who else may map that there. */
  node: StableNode | null = null;
  anonVma: AnonVma | null = null;
  /** The scan in which it went into the unstable tree of a node. */
  scan = NO_SCAN;
  nid = 0;

  constructor(
    readonly mm: Mm,
    readonly vpn: number,
  ) {}
}

/** A page that ksmd has made (struct ksm_stable_node): write-protected wherever it is mapped. It has no reference to the page. */
export class StableNode {
  /** Where it is mapped, what was merged last first. */
  readonly items: RmapItem[] = [];
  /** That it is one of, where a page of these contents alone would have too many mappings. */
  chain: StableChain | null = null;
  /** Its page has come to another NUMA node: it is in no tree until ksmd comes to it. */
  isAstray = false;

  constructor(
    readonly id: number,
    public page: number,
    public nid: number,
  ) {}
}

/** Nodes of pages with the same contents. */
export class StableChain {
  readonly dups: StableNode[] = [];

  constructor(
    public nid: number,
    /** Machine time in nanoseconds at which those that are gone were last taken out. */
    public prunedAt: number,
  ) {}
}

export type StableEntry = StableNode | StableChain;

/** An address space with mergeable memory (struct ksm_mm_slot). */
export class KsmMmSlot {
  /** What ksmd knows of its pages, in the order of their addresses. */
  readonly items: RmapItem[] = [];

  constructor(readonly mm: Mm) {}
}

export type KsmAdvisor = "none" | "scan-time";

/** What decides how many pages are scanned at a time where an advisor does, and what it remembers of the last scan. */
export interface ScanTimeAdvisor {
  /** In percent of a CPU; in pages; in seconds. */
  maxCpu: number;
  minPagesToScan: number;
  maxPagesToScan: number;
  targetScanTime: number;
  startedAt: number;
  scanTime: number;
  change: number;
  /** Of ksmd, when the last scan was over. */
  cpuTimeNs: number;
}

export const DEFAULT_PAGES_TO_SCAN = 100;

/** Settings, counters and state of Kernel Samepage Merging (Documentation/admin-guide/mm/ksm). */
export class Ksm {
  /* Settings, as Linux starts. */
  run = KsmRun.Stop;
  pagesToScan = DEFAULT_PAGES_TO_SCAN;
  sleepMs = 20;
  maxPageSharing = 256;
  chainsPruneMs = 2000;
  useZeroPages = false;
  mergeAcrossNodes = true;
  smartScan = true;
  advisor: KsmAdvisor = "none";
  readonly scanTime: ScanTimeAdvisor = {
    maxCpu: 70,
    minPagesToScan: 500,
    maxPagesToScan: 30_000,
    targetScanTime: 200,
    startedAt: 0,
    scanTime: 0,
    change: 0,
    cpuTimeNs: 0,
  };

  /* Counters: nodes with mappings, further mappings of theirs, and pages that only the unstable tree has. */
  pagesShared = 0;
  pagesSharing = 0;
  pagesUnshared = 0;
  rmapItems = 0;
  chains = 0;
  dups = 0;
  /** Entries for the page of zeros that ksmd has put in the place of a page. */
  zeroPages = 0;
  pagesScanned = 0;
  pagesSkipped = 0;
  /** Which scan it is, of all that is mergeable. */
  scan = 0;
  /** What scanning has taken of CPUs, in nanoseconds. */
  cpuTimeNs = 0;

  /** Memory goes offline: whoever wants the trees waits. */
  offlining = false;

  /** Held while ksmd scans, and while somebody changes what it relies on. Guards the trees. */
  readonly mutex: Mutex;
  /** Stable nodes by number. A page's is in its `mapping`. */
  readonly nodes = new Map<number, StableNode>();
  nextNodeId = 1;
  /** By NUMA node, or all in the first: in the order of their contents. */
  readonly stable: StableEntry[][] = [];
  /** The same of pages that may be written to at any time: in an order that may not be theirs any more. */
  readonly unstable: RmapItem[][] = [];
  /** Nodes whose pages have come to another NUMA node. */
  readonly astray: StableNode[] = [];

  /** Address spaces to look through, in order. Op.Ksm announces these and the cursor. */
  readonly slots: KsmMmSlot[] = [];
  /** Where ksmd is: a place among the items of an address space, and the next page to look at; null between two scans. */
  cursor: { slot: KsmMmSlot; vpn: number; item: number } | null = null;

  /** Where ksmd sleeps while there is nothing to do, and between two turns. */
  readonly wait: WaitQueue;
  readonly turnWait: WaitQueue;
  readonly offlineWait: WaitQueue;
  /** Set at boot, on a machine with kernel threads; cleared once the thread runs. */
  start: (() => void) | null = null;

  constructor(m: Machine) {
    this.mutex = new Mutex(m.locks, "ksm_thread_mutex");
    this.wait = new WaitQueue(m);
    this.turnWait = new WaitQueue(m);
    this.offlineWait = new WaitQueue(m);
    for (let node = 0; node < m.nodes.count; node++) {
      this.stable.push([]);
      this.unstable.push([]);
    }
  }
}
