import { Mutex, SpinLock } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import { HugetlbFs } from "../fs/hugetlbfs.js";
import { FolioList } from "./lruvec.js";
import { PG } from "./page.js";
import type { Subpool } from "./hugetlb_reserve.js";

/** What is known of a hugetlb folio beyond its page flags: bits in its `private`. */
export enum HPG {
  /** It was taken from what is reserved, and goes back there when it is freed. */
  restoreReserve = 1 << 0,
  /** In use, and may be isolated for migration. */
  migratable = 1 << 1,
  /** The target of a migration: goes to the buddy allocator, not to the pool, when it is freed. */
  temporary = 1 << 2,
  /** On the free list of its pool. */
  freed = 1 << 3,
}

/** 2 MiB, what one entry of level 1 maps, and 1 GiB, one of level 2. 64 KiB would need Svnapot. */
export const HUGETLB_ORDER = 9;
export const GIGANTIC_ORDER = 18;

/** The pool of huge pages of one size. `Hugetlb.lock` guards the numbers and the list. */
export class Hstate {
  /** All pages of the pool, surplus ones among them; free ones; promised ones among the free. */
  nrHugePages = 0;
  freeHugePages = 0;
  resvHugePages = 0;
  /** Those above what was asked for, by node: as many leave the pool of their node when they are freed. */
  readonly surplus: number[];
  /** How many surplus pages there may be. */
  nrOvercommitHugePages = 0;
  /** What /proc/sys/vm/nr_hugepages shows: the persistent pages after the last change. */
  maxHugePages = 0;
  /** The node that the next page of the pool is to come from, and to be taken from: nodes take turns. */
  nextToAlloc = 0;
  nextToFree = 0;
  /** The order of the pages that one can be demoted to; 0 for none. */
  demoteOrder = 0;
  readonly free: FolioList;
  /** Held while the size of the pool is changed by its files. */
  readonly resizeLock: Mutex;

  constructor(
    private readonly m: Machine,
    readonly order: number,
  ) {
    this.free = new FolioList(m.memmap);
    this.surplus = new Array<number>(m.nodes.count).fill(0);
    this.resizeLock = new Mutex(m.locks, "hugetlb_resize");
  }

  get pages(): number {
    return 1 << this.order;
  }

  get bytes(): number {
    return this.pages * 4096;
  }

  /** As directories in sysfs have it: hugepages-2048kB. */
  get name(): string {
    return `hugepages-${this.pages * 4}kB`;
  }

  get surplusHugePages(): number {
    return this.surplus.reduce((sum, n) => sum + n, 0);
  }

  get persistentHugePages(): number {
    return this.nrHugePages - this.surplusHugePages;
  }

  /** What of the pool is on a node. */
  ofNode(node: number): { readonly nrHugePages: number; readonly freeHugePages: number; readonly surplusHugePages: number } {
    const { memmap, nodes } = this.m;
    if (nodes.count === 1) return this;
    let [all, free] = [0, 0];
    for (let folio = nodes.startPage(node); folio < nodes.endPage(node); folio++) {
      if (!memmap.has(folio, PG.hugetlb) || memmap.order[folio] !== this.order) continue;
      all++;
      if (memmap.refcount[folio] === 0) free++;
    }
    return { nrHugePages: all, freeHugePages: free, surplusHugePages: this.surplus[node]! };
  }

  /** Larger than what the buddy allocator has blocks of. */
  get isGigantic(): boolean {
    return this.order > HUGETLB_ORDER;
  }
}

/** All that hugetlb has of a machine. */
export class Hugetlb {
  readonly lock: SpinLock;
  readonly hstates: readonly Hstate[];
  /** The one of MAP_HUGETLB without a size, and of /proc. */
  readonly defaultHstate: Hstate;
  /** The group that may have SHM_HUGETLB without CAP_IPC_LOCK. */
  shmGroup = 0;
  /** The subpool that a folio in use is counted in. */
  readonly subpools = new Map<number, Subpool>();
  /** Device numbers of the mounts that have no place in the tree; set at boot. */
  firstAnonDev = 0;
  /** Every hugetlbfs that there is. */
  readonly mounts = new Set<HugetlbFs>();
  private readonly anonMounts = new Map<Hstate, HugetlbFs>();
  /** Faults on the same page of the same file come one after the other. */
  readonly faultMutexes: readonly Mutex[];

  constructor(private readonly m: Machine) {
    this.lock = new SpinLock(m.locks, "hugetlb");
    this.defaultHstate = new Hstate(m, HUGETLB_ORDER);
    const gigantic = new Hstate(m, GIGANTIC_ORDER);
    gigantic.demoteOrder = HUGETLB_ORDER;
    this.hstates = [gigantic, this.defaultHstate];
    this.faultMutexes = Array.from({ length: 8 }, () => new Mutex(m.locks, "hugetlb_fault"));
  }

  /** By the order of its pages, or undefined. */
  ofOrder(order: number): Hstate | undefined {
    return this.hstates.find((h) => h.order === order);
  }

  /** Where the files of MAP_HUGETLB, memfd_create() and SysV shared memory are. */
  anonFs(h: Hstate): HugetlbFs {
    let fs = this.anonMounts.get(h);
    if (fs === undefined) {
      fs = new HugetlbFs(this.m, h, null, this.firstAnonDev + this.hstates.indexOf(h));
      this.anonMounts.set(h, fs);
    }
    return fs;
  }

  /** All pages of all pools, in 4 KiB pages: what meminfo has as Hugetlb. */
  totalPages(): number {
    return this.hstates.reduce((sum, h) => sum + h.nrHugePages * h.pages, 0);
  }
}
