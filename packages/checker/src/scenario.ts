import {
  Access,
  Dmirror,
  Errno,
  Fill,
  FollFlag,
  HugetlbInode,
  Madv,
  MapFlag,
  Mpol,
  MpolFlag,
  type Mempolicy,
  Mremap,
  Op,
  PG,
  Prot,
  Scan,
  ShmemInode,
  SWITCH,
  truncateShmem,
  VM,
  ZoneId,
  type Atomic,
  type Device,
  type Driver,
  type FillRequest,
  type Kernel,
  type KsmRun,
  type MaySleep,
  type MigrateVma,
  type Mm,
  type UserfaultfdCtx,
} from "@faultline/kernel";
import { DeviceFiles } from "./driver_api.js";
import { ProbeApi } from "./probe_api.js";
import { ScenarioError } from "./scenario_error.js";

export { ScenarioError } from "./scenario_error.js";

/** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. */
const PUNCH_HOLE = 3;

/** The machine that a scenario wants: small, so that an execution is cheap. */
export interface ScenarioMachine {
  /** RAM in 4 KiB frames, at least 32. */
  readonly frames?: number;
  /** Swap in 4 KiB slots; 0, the default, for none. */
  readonly swapSlots?: number;
  /** 1 to 8; 2 by default. */
  readonly cpus?: number;
  /** NUMA nodes that CPUs and frames are divided among, 1 to 4; 1 by default. Nothing is scanned but by `numaScan`. */
  readonly nodes?: number;
  /** Test devices, each with an engine that runs device threads; 1 by default, 0 where there are drivers. */
  readonly devices?: number;
  /**
   * Pages of memory of each device; none by default. Of the test devices the first two have device-private memory, the others
   * device-coherent; those of drivers what their driver says.
   */
  readonly devicePages?: number;
}

/** A thread of a scenario, on an executor of its own. */
export interface ScenarioThread<S> {
  /** The CPU it is pinned to, or the device whose engine it is: a test device's number, or the name of a driver's. */
  readonly on: { readonly cpu: number } | { readonly device: number | string };
  run(t: ThreadApi, s: S): MaySleep<unknown>;
}

/** A program as a thread: a statically linked riscv64 ELF file, in the address space of the scenario. */
export interface ScenarioGuest<S> {
  /** The CPU it starts on. Threads that it makes go where there is least to do, as in any program. */
  readonly on: { readonly cpu: number };
  /** The file, relative to the scenario's. */
  readonly elf: string;
  /** Its arguments, argv[0] not counted; what `setup` returned is known by then. */
  readonly args?: readonly string[] | GuestArguments<S>["of"];
}

/** As a method, so that a scenario with some state is a `Scenario` all the same. */
interface GuestArguments<S> {
  of(s: S): readonly string[];
}

/**
 * What is explored: `setup` runs alone, then the threads run against each other, then `check`
 * looks at the outcome, alone again. Nothing may be kept between executions but what `setup`
 * returns.
 */
export interface Scenario<S = unknown> {
  readonly title: string;
  readonly machine?: ScenarioMachine;
  /** Drivers that the machine has besides those of `--driver`, of which one takes the place of its namesake here. */
  readonly drivers?: readonly Driver[];
  /** Runs on CPU 0. What it returns is handed to the threads and to `check`. */
  setup(t: ThreadApi): MaySleep<S>;
  readonly threads: Readonly<Record<string, ScenarioThread<S> | ScenarioGuest<S>>>;
  /** Runs on CPU 0 after the last thread has ended: null, or what is wrong. */
  check?(t: ThreadApi, s: S): MaySleep<string | null>;
}

/** Keeps the type of a scenario's own state: `export default scenario({ … })`. */
export function scenario<S>(s: Scenario<S>): Scenario<S> {
  return s;
}

/** What runs alone, after the threads, does not come to its end. */
export class EndlessError extends Error {
  constructor(
    readonly reason: "deadlock" | "livelock",
    message: string,
  ) {
    super(message);
  }
}

/** A user access raised a signal: the thread would have died of it. */
export class ScenarioSignal extends ScenarioError {}

/**
 * What a scenario thread can do: the system calls, loads and stores of a program, and the
 * operations of a device. Addresses and lengths are in bytes.
 */
export class ThreadApi extends ProbeApi {
  constructor(
    k: Kernel,
    mm: Mm,
    /** The open test devices, by number: each mirrors the scenario's address space. */
    readonly devices: readonly Dmirror[],
    private readonly deviceFiles = new DeviceFiles(),
  ) {
    super(k, mm, deviceFiles);
  }

  /** New private anonymous memory, readable and writable; its address. */
  *mmap(pages: number): MaySleep<number> {
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
    return yield* this.k.mmap.doMmap(this.k, this.mm, 0, pages * 4096, Prot.READ | Prot.WRITE, flags, null, 0);
  }

  /** The same at an address, in place of whatever is there. */
  *mmapFixed(addr: number, pages: number): MaySleep<number> {
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
    return yield* this.k.mmap.doMmap(this.k, this.mm, addr, pages * 4096, Prot.READ | Prot.WRITE, flags, null, 0);
  }

  /** Makes the pool of huge pages (2 MiB) have so many; as many as it then has. */
  *setHugePages(count: number): MaySleep<number> {
    const h = this.k.m.hugetlb.defaultHstate;
    yield* this.k.hugetlbPool.setMaxHugePages(this.k, h, count);
    return h.nrHugePages;
  }

  /** New private (or shared) memory of huge pages; its address, or a negated errno where those are not to be had. */
  *mmapHuge(hugePages: number, shared = false): MaySleep<number> {
    const flags = (shared ? MapFlag.SHARED : MapFlag.PRIVATE) | MapFlag.ANONYMOUS | MapFlag.HUGETLB;
    return yield* this.k.mmap.doMmap(this.k, this.mm, 0, hugePages << 21, Prot.READ | Prot.WRITE, flags, null, 0);
  }

  /** New shared anonymous memory: a file of its own, that a child has too. */
  *mmapShared(pages: number): MaySleep<number> {
    const flags = MapFlag.SHARED | MapFlag.ANONYMOUS;
    return yield* this.k.mmap.doMmap(this.k, this.mm, 0, pages * 4096, Prot.READ | Prot.WRITE, flags, null, 0);
  }

  /**
   * Maps the file that is mapped at an address once more, privately: the address of that.
   * @throws ScenarioError where no file is mapped
   */
  *mmapPrivate(addr: number, pages: number): MaySleep<number> {
    const vma = this.mm.vmaAt(pageOf(addr));
    if (vma?.file == null) throw new ScenarioError(`mmapPrivate: no file is mapped at 0x${addr.toString(16)}`);
    return yield* this.k.mmap.doMmap(this.k, this.mm, 0, pages * 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE, vma.file, vma.linearIndex(pageOf(addr)));
  }

  /**
   * Gives the file that is mapped at an address another size, as ftruncate() does; 0 or a negated errno.
   * @throws ScenarioError where no file in memory is mapped
   */
  *truncate(addr: number, bytes: number): MaySleep<number> {
    const inode = this.mm.vmaAt(Math.floor(addr / 4096))?.file?.inode;
    if (!(inode instanceof ShmemInode)) throw new ScenarioError(`truncate: no file in memory is mapped at 0x${addr.toString(16)}`);
    return yield* truncateShmem(this.k, inode, bytes);
  }

  /** Punches a huge page out of the file behind shared huge pages, as fallocate(2) does: 0 or a negated errno. */
  *punchHuge(addr: number): MaySleep<number> {
    const vma = this.mm.vmaAt(pageOf(addr));
    const inode = vma?.file?.inode;
    if (!(inode instanceof HugetlbInode)) throw new ScenarioError(`punchHuge: there are no huge pages at 0x${addr.toString(16)}`);
    if (!inode.lock.tryWrite()) yield* inode.lock.write();
    const error = yield* inode.fallocate(this.k, PUNCH_HOLE, vma!.linearIndex(pageOf(addr)) * 4096, inode.blksize);
    if (!inode.lock.tryUnlock()) yield* inode.lock.unlock();
    return error;
  }

  *munmap(addr: number, pages: number): MaySleep<number> {
    return yield* this.k.mmap.doMunmap(this.k, this.mm, addr, pages * 4096);
  }

  /** Moves memory, and makes it larger or smaller: to an address, or anywhere. The new address, or a negated errno. */
  *mremap(addr: number, pages: number, newPages: number, to?: number): MaySleep<number> {
    const flags = to === undefined ? Mremap.MAYMOVE : Mremap.MAYMOVE | Mremap.FIXED;
    return yield* this.k.mremap.doMremap(this.k, this.mm, addr, pages * 4096, newPages * 4096, flags, to ?? 0);
  }

  *madvise(addr: number, pages: number, advice: Madv): MaySleep<number> {
    return yield* this.k.madvise.doMadvise(this.k, this.mm, addr, pages * 4096, advice);
  }

  /** khugepaged looks at the 2 MiB around an address. */
  *khugepagedScan(addr: number): MaySleep<Scan> {
    const { k, mm } = this;
    const cc = { isKhugepaged: true, memcg: k.m.current!.memcg, mmapLocked: true };
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const vma = mm.vmaAt(pageOf(addr));
    const result = vma === null ? Scan.VmaNull : yield* k.collapse.collapseScanPmd(k, vma, pageOf(addr) & -512, cc);
    if (cc.mmapLocked && !mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return result;
  }

  /**
   * ksmd looks at so many pages of what is mergeable (MADV_MERGEABLE), at all that is left of a scan unless given. A page that has
   * the same contents in two scans is merged with another such.
   */
  *ksmScan(pages = Infinity): MaySleep<void> {
    const { k } = this;
    const { mutex } = k.m.ksm;
    yield* k.ksmd.lockTrees(k);
    yield* k.ksmd.ksmDoScan(k, pages);
    if (!mutex.tryUnlock()) yield* mutex.unlock();
  }

  /** What is written to /sys/kernel/mm/ksm/run, but for ksmd itself, which runs by `ksmScan` alone: Unmerge undoes all that is merged. */
  *ksmRun(run: KsmRun): MaySleep<number> {
    return yield* this.k.ksmd.setRun(this.k, run);
  }

  *mprotect(addr: number, pages: number, prot: number): MaySleep<number> {
    return yield* this.k.mprotect.doMprotect(this.k, this.mm, addr, pages * 4096, prot);
  }

  /**
   * fork(2), but for the child's task: a copy of the address space, by the number that `inChild`
   * wants; -12 (ENOMEM) where memory is out, or a device's page is locked just then.
   */
  *fork(): MaySleep<number> {
    const child = yield* this.k.fork.dupMm(this.k, this.mm);
    return child === null ? -Errno.ENOMEM : child.id;
  }

  /**
   * Does something in a child's address space, as the child would on this CPU; there are no devices in it.
   * @throws ScenarioError where there is no such child
   */
  *inChild<T>(child: number, body: (t: ThreadApi) => MaySleep<T>): MaySleep<T> {
    const { m } = this.k;
    const mm = m.mms.find(({ id }) => id === child);
    if (mm === undefined || mm === this.mm) throw new ScenarioError(`inChild: there is no child ${child}`);
    yield* this.use(mm);
    const result = yield* body(new ThreadApi(this.k, mm, [], this.deviceFiles));
    yield* this.use(this.mm);
    return result;
  }

  /**
   * Ends a child, as exit(2) of its only task does: its address space goes, whoever mirrors it.
   * @throws ScenarioError where there is no such child
   */
  *exit(child: number): MaySleep<void> {
    const { m } = this.k;
    const mm = m.mms.find(({ id }) => id === child);
    if (mm === undefined || mm === this.mm) throw new ScenarioError(`exit: there is no child ${child}`);
    yield* this.k.fork.mmput(this.k, mm);
  }

  /**
   * Takes back what a child has that can be made anew, as the OOM reaper and process_mrelease(2) do: false where a driver would
   * have had to be waited for.
   * @throws ScenarioError where there is no such child
   */
  *reap(child: number): MaySleep<boolean> {
    const { k } = this;
    const mm = k.m.mms.find(({ id }) => id === child);
    if (mm === undefined || mm === this.mm) throw new ScenarioError(`reap: there is no child ${child}`);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const all = yield* k.mrelease.reapMm(k, mm);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return all;
  }

  private *use(mm: Mm): Atomic<void> {
    const { m } = this.k;
    const executor = m.executor!;
    if (m.point(Op.TlbFlush, executor.id)) yield SWITCH;
    m.current!.mm = mm;
    m.switchMm(executor, mm);
  }

  /** A userfaultfd of this address space with features of `UffdFeature`: the number that the calls below want. */
  *userfaultfd(features = 0): MaySleep<number> {
    const { k } = this;
    const ctx = k.userfaultfdFile.newCtx(k, this.mm, 0);
    yield* k.userfaultfdFile.enable(k, ctx, features);
    return ctx.id;
  }

  /** Closes it, while others may wait for it. */
  *uffdClose(uffd: number): MaySleep<void> {
    yield* this.k.userfaultfd.release(this.k, this.uffd(uffd));
  }

  /** UFFDIO_REGISTER for missing pages, and for protection from writes or from accesses: 0 or a negated errno. */
  *uffdRegister(uffd: number, addr: number, pages: number, missing: boolean, wp: boolean, rwp = false): MaySleep<number> {
    const flags = (missing ? VM.UFFD_MISSING : 0) | (wp ? VM.UFFD_WP : 0) | (rwp ? VM.UFFD_RWP : 0);
    return yield* this.k.userfaultfd.register(this.k, this.uffd(uffd), addr, pages * 4096, flags);
  }

  *uffdUnregister(uffd: number, addr: number, pages: number): MaySleep<number> {
    return yield* this.k.userfaultfd.unregister(this.k, this.uffd(uffd), addr, pages * 4096);
  }

  /** Reads the next message, which it waits for: the address of a fault, or where an event begins. A fork's child cannot be had. */
  *uffdRead(uffd: number): MaySleep<number> {
    const { k } = this;
    const ctx = this.uffd(uffd);
    const got = yield* k.userfaultfd.readMsg(k, ctx, true);
    if (typeof got === "number") return got;
    if ("msg" in got) yield* k.userfaultfd.finishEvent(k, ctx, got, true);
    const msg = "msg" in got ? got.msg : got;
    if ("address" in msg) return msg.address;
    return "start" in msg ? msg.start : "from" in msg ? msg.from : 0;
  }

  /** UFFDIO_COPY of whole pages, protected or not, and a wake-up: bytes copied, or a negated errno. */
  *uffdCopy(uffd: number, dst: number, src: number, pages: number, wp = false): MaySleep<number> {
    return yield* this.fill(uffd, { fill: Fill.Copy, dst, src, len: pages * 4096, wp });
  }

  /** UFFDIO_ZEROPAGE and a wake-up: bytes, or a negated errno. */
  *uffdZeropage(uffd: number, addr: number, pages: number): MaySleep<number> {
    return yield* this.fill(uffd, { fill: Fill.Zeropage, dst: addr, src: 0, len: pages * 4096, wp: false });
  }

  /** UFFDIO_MOVE, holes allowed, and a wake-up: bytes moved, or a negated errno. */
  *uffdMove(uffd: number, dst: number, src: number, pages: number): MaySleep<number> {
    const { k } = this;
    const ctx = this.uffd(uffd);
    const moved = yield* k.uffdMove.move(k, ctx, dst, src, pages * 4096, true);
    if (moved > 0) yield* k.userfaultfd.wakeUserfault(k, ctx, dst, moved);
    return moved;
  }

  /** UFFDIO_WRITEPROTECT: protects, or lets writes through again and wakes who waits. 0 or a negated errno. */
  *uffdWriteprotect(uffd: number, addr: number, pages: number, protect: boolean): MaySleep<number> {
    return yield* this.protect(uffd, addr, pages, protect, VM.UFFD_WP);
  }

  /** UFFDIO_RWPROTECT, the same for all accesses. */
  *uffdRwprotect(uffd: number, addr: number, pages: number, protect: boolean): MaySleep<number> {
    return yield* this.protect(uffd, addr, pages, protect, VM.UFFD_RWP);
  }

  private *protect(uffd: number, addr: number, pages: number, protect: boolean, kind: VM.UFFD_WP | VM.UFFD_RWP): MaySleep<number> {
    const { k } = this;
    const ctx = this.uffd(uffd);
    const result = yield* k.uffdWp.writeprotect(k, ctx, addr, pages * 4096, protect, kind);
    if (result === 0 && !protect) yield* k.userfaultfd.wakeUserfault(k, ctx, addr, pages * 4096);
    return result;
  }

  /** UFFDIO_WAKE. */
  *uffdWake(uffd: number, addr: number, pages: number): MaySleep<void> {
    yield* this.k.userfaultfd.wakeUserfault(this.k, this.uffd(uffd), addr, pages * 4096);
  }

  private *fill(uffd: number, request: FillRequest): MaySleep<number> {
    const { k } = this;
    const ctx = this.uffd(uffd);
    const filled = yield* k.uffdFill.fill(k, ctx, request);
    if (filled > 0) yield* k.userfaultfd.wakeUserfault(k, ctx, request.dst, filled);
    return filled;
  }

  private uffd(id: number): UserfaultfdCtx {
    const ctx = this.k.m.userfaultfds.find((one) => one.id === id);
    if (ctx === undefined) throw new ScenarioError(`there is no userfaultfd ${id}`);
    return ctx;
  }

  /**
   * Protects pages for NUMA hinting faults, as the scan of balancing does where more threads than one use the address space:
   * how many entries are others now; none where nothing is mapped.
   */
  *numaScan(addr: number, pages: number): MaySleep<number> {
    const { k, mm } = this;
    const first = pageOf(addr);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const vma = mm.vmaAt(first);
    mm.users++;
    const updates = vma === null ? 0 : yield* k.protNuma.changeProtNuma(k, vma, first, Math.min(vma.endVpn, first + pages));
    mm.users--;
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return updates;
  }

  /** Puts pages that are not there yet on a node, as mbind(MPOL_BIND | MPOL_F_NUMA_BALANCING) for all nodes with that one as their home does: 0 or a negated errno. */
  *homeOn(addr: number, pages: number, node: number): MaySleep<number> {
    const { k, mm } = this;
    const first = pageOf(addr);
    const policy = k.mempolicy.newPolicy(k, Mpol.BIND | MpolFlag.NUMA_BALANCING, k.m.nodes.mask) as Mempolicy;
    return yield* k.mbind.doMbind(k, mm, first, first + pages, { ...policy, homeNode: node }, 0);
  }

  /** The node that a frame is on. */
  nodeOf(frame: number): number {
    return this.k.m.nodes.of(frame);
  }

  /** Marks what is in a frame as idle, by /sys/kernel/mm/page_idle/bitmap: what it answers, 8 for the word written. */
  *markIdle(frame: number): MaySleep<number> {
    const pfn = this.k.m.memmap.pageToPfn(this.frame(frame));
    return yield* this.k.pageIdle.bitmapWrite(this.k, wordOfBit(pfn % 64), Math.floor(pfn / 64) * 8);
  }

  /** Whether what is in a frame has been marked as idle, and not used since. */
  *isIdle(frame: number): MaySleep<boolean> {
    const pfn = this.k.m.memmap.pageToPfn(this.frame(frame));
    // Only what was written is looked at: the others of the word are not marked.
    const word = new Uint8Array(8);
    yield* this.k.pageIdle.bitmapRead(this.k, word, Math.floor(pfn / 64) * 8);
    return (word[(pfn % 64) >> 3]! & (1 << (pfn & 7))) !== 0;
  }

  /** Declares a frame broken, as a write to hwpoison/corrupt-pfn in debugfs does: 0 or a negated errno. */
  *corruptFrame(frame: number): MaySleep<number> {
    return yield* this.k.memoryFailure.corruptPfn(this.k, this.k.m.memmap.pageToPfn(this.frame(frame)));
  }

  /** DAMON makes what is in a frame old: whoever uses it from here on is noticed. */
  *damonMkold(frame: number): MaySleep<void> {
    yield* this.k.damon.damonPaMkold(this.k, this.k.m.memmap.pageToPfn(this.frame(frame)));
  }

  /** Whether what is in a frame has been used since `damonMkold`, as DAMON sees it. */
  *damonYoung(frame: number): MaySleep<boolean> {
    return yield* this.k.damon.damonPaYoung(this.k, this.k.m.memmap.pageToPfn(this.frame(frame)));
  }

  /** Asks for reclaim of pages of the scenario's cgroup, as writing memory.reclaim does. */
  *reclaim(pages: number): MaySleep<number> {
    return yield* this.k.vmscan.memoryReclaim(this.k, this.k.m.current!.memcg, pages);
  }

  /** Lets the scenario's cgroup have no more memory than it has now, as memory.max does. */
  limitMemory(): void {
    const { memcgs, current } = this.k.m;
    memcgs.drainAllStock();
    current!.memcg.max = current!.memcg.usage;
  }

  /** One pass of reclaim over all LRU lists of the scenario's cgroup, as under the highest pressure. */
  *shrinkLruvec(): MaySleep<void> {
    const { k } = this;
    const { memcg } = k.m.current!;
    const scan = { target: memcg, nrToReclaim: Infinity, reason: "proactive", reclaimZone: ZoneId.Movable, priority: 0, nrReclaimed: 0, nrScanned: 0 } as const;
    yield* k.vmscan.shrinkLruvec(k, memcg, { ...scan });
  }

  /** A user load of an aligned 32-bit word, unsigned. */
  *load32(addr: number): MaySleep<number> {
    const word = yield* this.word(addr, Access.Read);
    return this.k.m.ram.words[word]! >>> 0;
  }

  /** A user store. */
  *store32(addr: number, value: number): MaySleep<void> {
    const word = yield* this.word(addr, Access.Write);
    this.k.m.ram.words[word] = value;
  }

  /** An atomic addition (AMOADD.W); what was there before. */
  *atomicAdd32(addr: number, value: number): MaySleep<number> {
    const word = yield* this.word(addr, Access.Write);
    const old = this.k.m.ram.words[word]! >>> 0;
    this.k.m.ram.words[word] = old + value;
    return old;
  }

  /** A load by a program that handles SIGSEGV: null where there is a signal. */
  *tryLoad32(addr: number): MaySleep<number | null> {
    const word = yield* this.tryWord(addr, Access.Read);
    return word === null ? null : this.k.m.ram.words[word]! >>> 0;
  }

  /** A store by such a program: whether it was done. */
  *tryStore32(addr: number, value: number): MaySleep<boolean> {
    const word = yield* this.tryWord(addr, Access.Write);
    if (word !== null) this.k.m.ram.words[word] = value;
    return word !== null;
  }

  /** An atomic addition by such a program; what was there before, or null where there is a signal. */
  *tryAtomicAdd32(addr: number, value: number): MaySleep<number | null> {
    const word = yield* this.tryWord(addr, Access.Write);
    if (word === null) return null;
    const old = this.k.m.ram.words[word]! >>> 0;
    this.k.m.ram.words[word] = old + value;
    return old;
  }

  /** Makes pages exclusive to a device, as its driver's EXCLUSIVE does: 0 or a negated errno. */
  *makeExclusive(device: number, addr: number, pages: number): MaySleep<number> {
    const { k, mm } = this;
    const dmirror = this.device(device);
    const first = pageOf(addr);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const result = yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, first, first + pages);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return result;
  }

  /** Mirrors pages in a device for reading or writing, as a device fault does: 0 or a negated errno. */
  *deviceFault(device: number, addr: number, pages: number, write: boolean): MaySleep<number> {
    const first = pageOf(addr);
    return yield* this.k.testHmm.dmirrorFault(this.k, this.device(device), first, first + pages, write);
  }

  /** Moves pages to the memory of a device, as far as they can move: 0 or a negated errno. */
  *migrateToDevice(device: number, addr: number, pages: number): MaySleep<number> {
    const { k } = this;
    const dmirror = this.device(device);
    if (k.m.config.deviceMemory?.chunk === 0) throw new ScenarioError("migrateToDevice: no device has memory: give its machine some, machine: { devicePages: 4 }");
    return yield* this.migrates(addr, pages, k.testHmmMemory.toDeviceSelect(), dmirror, (args) => k.testHmmMemory.migrateRangeToDevice(k, dmirror, args));
  }

  /** Moves pages back from the memory of a device: 0 or a negated errno. */
  *migrateToSystem(device: number, addr: number, pages: number): MaySleep<number> {
    const { k } = this;
    const dmirror = this.device(device);
    const from = dmirror.device;
    return yield* this.migrates(addr, pages, k.testHmmMemory.fromDeviceSelect(from), dmirror, function* (args) {
      yield* k.testHmmMemory.migrationBegins(k, dmirror, 1);
      const error = yield* k.testHmmMemory.migrateRangeToSystem(k, dmirror, from, args);
      yield* k.testHmmMemory.migrationBegins(k, dmirror, -1);
      return error;
    });
  }

  private *migrates(addr: number, pages: number, select: number, dmirror: Dmirror, migrate: (args: MigrateVma) => MaySleep<number>): MaySleep<number> {
    const { k, mm } = this;
    const first = pageOf(addr);
    if (!Number.isSafeInteger(pages) || pages < 0) throw new ScenarioError(`${pages} is no number of pages`);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const args = k.testHmmMemory.nextRange(k, dmirror, first, first + pages, select);
    const result = args === null ? -Errno.EINVAL : yield* migrate(args);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return result;
  }

  /** Brings all that is in a device's memory back to RAM, as far as nobody holds it. */
  *evictDevice(device: number): MaySleep<void> {
    yield* this.k.testHmmMemory.evictDevice(this.k, this.device(device).device);
  }

  /** A load by a device through its mirror, which faults the page in where it lacks it; unsigned, or a negated errno. */
  *deviceLoad32(device: number, addr: number): MaySleep<number> {
    return yield* this.k.testHmm.deviceLoad32(this.k, this.device(device), wordAt(addr));
  }

  /** A store by a device through its mirror: 0 or a negated errno. */
  *deviceStore32(device: number, addr: number, value: number): MaySleep<number> {
    return yield* this.k.testHmm.deviceStore32(this.k, this.device(device), wordAt(addr), value);
  }

  /** An atomic addition by a device, which takes the page first where it does not have it. */
  *deviceAtomicAdd32(device: number, addr: number, value: number): MaySleep<number> {
    return yield* this.k.testHmm.deviceAtomicAdd32(this.k, this.device(device), wordAt(addr), value);
  }

  /** mmu_interval_read_begin() of a device's notifier: a sequence for `readRetry`, once nothing is being invalidated. */
  *readBegin(device: number): MaySleep<number> {
    return yield* this.k.mmuNotifier.intervalReadBegin(this.k, this.device(device).notifier);
  }

  /** mmu_interval_read_retry(): whether anything that the device mirrors has been invalidated since. */
  *readRetry(device: number, seq: number): MaySleep<boolean> {
    return yield* this.k.mmuNotifier.intervalReadRetry(this.k, this.device(device).notifier, seq);
  }

  /**
   * The frame that an address of memory in use is in.
   * @throws ScenarioError where there is none now
   */
  frameOf(addr: number): number {
    const { memmap, pt } = this.k.m;
    const vpn = Math.floor(addr / 4096);
    const ptep = pt.find(this.mm.pgd, vpn);
    if (ptep < 0 || pt.isNone(ptep)) throw new ScenarioError(`frameOf: nothing is mapped at 0x${addr.toString(16)}`);
    return memmap.pfnToPage(pt.pfnFor(ptep, vpn));
  }

  /** Whether the page of an address is a device's alone just now: its entry says so. */
  isExclusive(addr: number): boolean {
    const { pt } = this.k.m;
    const ptep = pt.find(this.mm.pgd, Math.floor(addr / 4096));
    return ptep >= 0 && this.k.swapops.isDeviceExclusive(this.k, pt.flags(ptep));
  }

  /** @throws ScenarioError unless the machine has such a frame, of RAM or of a device's memory */
  private frame(frame: number): number {
    const { nrPages } = this.k.m.memmap;
    if (!Number.isInteger(frame) || frame < 0 || frame >= nrPages) throw new ScenarioError(`there is no frame ${frame}: the machine has ${nrPages}`);
    return frame;
  }

  /** Moves what is in a frame elsewhere, if nobody is in the way. */
  *migrate(frame: number): MaySleep<void> {
    yield* this.k.memoryHotplug.doMigrateRange(this.k, this.frame(frame), frame + 1);
  }

  /** Moves what is in a frame elsewhere, however many attempts it takes, as taking its memory offline does. */
  *offline(frame: number): MaySleep<void> {
    const { k } = this;
    this.frame(frame);
    yield* k.swap.lruCacheDisable(k);
    for (;;) {
      const mark = k.m.retries.mark();
      if (k.m.point(Op.RefCompare, frame)) yield SWITCH;
      const references = k.m.memmap.refcount[frame];
      if (references === 0) break;
      yield* this.migrate(frame);
      // Much may be in the way; none of it goes while nobody else runs.
      if (k.m.retries.again("offline_pages", () => k.m.retries.mark() !== mark || k.m.memmap.refcount[frame] !== references)) yield SWITCH;
    }
    yield* k.swap.lruCacheEnable(k);
  }

  /** Holds a page of the address space, as a driver does with get_user_pages_fast(); a page or a negated errno. */
  *getUserPage(addr: number, write: boolean): MaySleep<number> {
    return yield* this.k.gup.getUserPageFast(this.k, addr / 4096, write ? FollFlag.WRITE : 0, "scenario");
  }

  /** Writes the first word of what `getUserPage` returned for writing, past all page tables, as DMA does, and says that it is dirty. */
  *writeUserPage(page: number, value: number): MaySleep<void> {
    const { m } = this.k;
    if (m.point(Op.FrameWrite, page)) yield SWITCH;
    m.ram.words[page << 10] = value;
    const folio = m.memmap.folioOf(page);
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.set(folio, PG.dirty);
  }

  /**
   * Pins a page of the address space for a device that will read or write it, as O_DIRECT does, or with `longterm` for as long
   * as user space likes; a page or a negated errno.
   */
  *pinUserPage(addr: number, write: boolean, longterm = false): MaySleep<number> {
    const gup = (write ? FollFlag.WRITE : 0) | (longterm ? FollFlag.LONGTERM : 0);
    return yield* this.k.gupPin.pinUserPageFast(this.k, addr / 4096, gup, "pinned");
  }

  /** Reads the first word of what `pinUserPage` returned, past all page tables, as DMA does. */
  *readUserPage(page: number): MaySleep<number> {
    const { m } = this.k;
    if (m.point(Op.FrameRead, page)) yield SWITCH;
    return m.ram.words[page << 10]!;
  }

  /** Nothing new comes to the 2 MiB that a frame lies in, and nothing that is there is to be pinned for ever, until somebody gives up wanting them empty. */
  isolatePageblock(frame: number, isolated = true): void {
    const first = frame & ~511;
    this.k.m.zones.zoneOf(frame).setIsolated(first, first + 512, isolated);
  }

  /** Lets go of what `pinUserPage` returned, `dirty` where the device has written to it. */
  *unpinUserPage(page: number, dirty: boolean): MaySleep<void> {
    yield* this.k.gupPin.unpinUserPage(this.k, page, dirty, "pinned");
  }

  /** Lets go of what `getUserPage` returned. */
  *putUserPage(page: number): MaySleep<void> {
    yield* this.k.swap.folioPut(this.k, this.k.m.memmap.folioOf(page), "scenario");
  }

  /** Empties every CPU's folio batches, so that no reference of theirs keeps a page alive. */
  *drainLruBatches(): MaySleep<void> {
    yield* this.k.swap.lruAddDrainAll(this.k);
  }

  private device(number: number): Dmirror {
    const device = this.devices[number];
    if (device === undefined) throw new ScenarioError(`there is no device ${number}: the machine has ${this.devices.length}`);
    return device;
  }

  private *tryWord(addr: number, access: Access): MaySleep<number | null> {
    const frame = yield* this.k.uaccess.accessFrame(this.k, addr, access);
    return typeof frame === "number" ? (frame << 10) + ((addr % 4096) >> 2) : null;
  }

  private *word(addr: number, access: Access): MaySleep<number> {
    const frame = yield* this.k.uaccess.accessFrame(this.k, wordAt(addr), access);
    if (typeof frame !== "number") throw new ScenarioSignal(`signal ${frame.signo} (code ${frame.code}) at 0x${frame.addr.toString(16)}`);
    return (frame << 10) + ((addr % 4096) >> 2);
  }
}

/** Eight bytes with one bit set. */
function wordOfBit(bit: number): Uint8Array {
  const word = new Uint8Array(8);
  word[bit >> 3] = 1 << (bit & 7);
  return word;
}

/** @throws ScenarioError unless it is the address of an aligned 32-bit word, mapped or not */
function wordAt(addr: number): number {
  if (!Number.isSafeInteger(addr) || addr < 0 || addr % 4 !== 0) throw new ScenarioError(`${addr} is no address of a 32-bit word: those are whole multiples of 4`);
  return addr;
}

/** @throws ScenarioError unless it is the address of a page */
function pageOf(addr: number): number {
  if (!Number.isSafeInteger(addr) || addr < 0 || addr % 4096 !== 0) throw new ScenarioError(`${addr} is no address of a page: those are whole multiples of 4096`);
  return addr / 4096;
}

/** Opens a test device on an address space, as open("/dev/hmm_dmirror…") does. */
export function* openTestDevice(k: Kernel, mm: Mm, device: Device): MaySleep<Dmirror> {
  const dmirror = new Dmirror(k, device, mm);
  // As an open file of it does.
  device.opened++;
  yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
  return dmirror;
}
