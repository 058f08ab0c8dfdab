import type { Choices } from "./kernel/choices.js";
import { SeededChoices } from "./kernel/choices.js";
import type { Ftrace } from "./kernel/ftrace.js";
import { Futexes } from "./kernel/futex.js";
import { Locks } from "./kernel/locks.js";
import { FRAME_WRITES } from "./kernel/op.js";
import { GracePeriods, SrcuDomain } from "./kernel/rcu.js";
import { Retries } from "./kernel/retry.js";
import type { Process } from "./kernel/process.js";
import { PerfEvents } from "./kernel/perf_event.js";
import { Uprobes } from "./kernel/uprobes.js";
import { Mqueues } from "./fs/mqueue.js";
import { FileLocks } from "./fs/file_locks.js";
import { Msg } from "./kernel/msg.js";
import { Sem } from "./kernel/sem.js";
import { Shm } from "./kernel/shm.js";
import { Signals } from "./kernel/signal.js";
import { Scheduler, TaskTable, TaskState, WaitQueue, type Executor, type Task } from "./kernel/sched.js";
import { Dmesg } from "./kernel/printk.js";
import type { EventSink } from "./trace.js";
import { FrameMemory } from "./mm/frame_memory.js";
import { Memmap, type DeviceMemory } from "./mm/page.js";
import { DevicePagemaps } from "./mm/dev_pagemap.js";
import { PageTables } from "./arch/pgtable.js";
import { PageOwner } from "./mm/page_owner.js";
import { Zones } from "./mm/zone.js";
import { Nodes } from "./mm/nodes.js";
import { NumaSettings } from "./mm/numa.js";
import { Memcgs } from "./mm/memcontrol.js";
import { SwapDevice } from "./mm/swap_device.js";
import { Ksm } from "./mm/ksm_state.js";
import { FolioBatches } from "./mm/folio_batch.js";
import { RefTracker } from "./mm/ref_tracker.js";
import { VmStat } from "./mm/vmstat.js";
import { VmSysctl } from "./mm/vm_sysctl.js";
import type { Mm } from "./mm/mm_types.js";
import type { SwapDisk } from "./mm/page_io.js";
import { AddressSpaces } from "./mm/address_space.js";
import { ShmemSb } from "./mm/shmem_inode.js";
import { AnonVmas } from "./mm/anon_vma.js";
import { GupTest } from "./mm/gup_test.js";
import { Hugetlb } from "./mm/hstate.js";
import { TransparentHugePages } from "./mm/thp.js";
import { MemoryBlocks } from "./drivers/memory.js";
import type { Device } from "./drivers/device.js";
import type { SecondaryTlb } from "./drivers/iommu_sva.js";
import type { DeviceMirror } from "./drivers/device_mirror.js";
import type { UserfaultfdCtx } from "./fs/userfaultfd_ctx.js";
import type { Vfs } from "./fs/vfs.js";

export interface MachineConfig {
  /** RAM in 4 KiB frames, kernel and memmap included. */
  readonly frames: number;
  /** Frames that the kernel image and the memmap occupy from boot. */
  readonly reservedFrames: number;
  /** Swap space in 4 KiB slots; 0 for none. */
  readonly swapSlots: number;
  readonly cpus: number;
  /** NUMA nodes, among which CPUs and RAM are divided: 1, unless given, to MAX_NODES. */
  readonly nodes?: number;
  readonly seed: number;
  /** TLB entries of each CPU, a power of two. */
  readonly tlbEntries: number;
  /** True under the checker: owners of references are tracked, TLBs prefetch, every point counts. */
  readonly checking: boolean;
  /** Reuses the memory of an earlier machine of the same size. */
  readonly memory?: FrameMemory;
  /** Room for memory of devices; none unless given. */
  readonly deviceMemory?: DeviceMemory;
  /** page_owner=on: who allocated each page; false unless given. */
  readonly pageOwner?: boolean;
}

const NO_DEVICE_MEMORY: DeviceMemory = { coherent: 0, private: 0, chunk: 0 };

/** The device number of the kernel's own tmpfs, 0:1. */
const SHMEM_DEV = 1;

/** Machine time that one point stands for: a few dozen instructions of kernel code. */
const POINT_NS = 10;

/** All state of one simulated machine. Nothing lives at module level. */
export class Machine {
  readonly choices: Choices;
  readonly locks: Locks;
  readonly sched: Scheduler;
  readonly retries = new Retries(this);
  readonly rcu = new GracePeriods(this, 0);
  /** Held by those who call what subscribed with `mmuNotifierRegister`. */
  readonly notifierSrcu = new SrcuDomain(this, 1);
  readonly dmesg: Dmesg;
  readonly ram: FrameMemory;
  readonly memmap: Memmap;
  readonly pgmaps: DevicePagemaps;
  readonly pt: PageTables;
  readonly nodes: Nodes;
  readonly numa: NumaSettings;
  readonly zones: Zones;
  readonly memoryBlocks: MemoryBlocks;
  /** null unless the machine boots with page_owner=on. */
  readonly pageOwner: PageOwner | null;
  readonly memcgs: Memcgs;
  readonly swap: SwapDevice;
  readonly batches: FolioBatches;
  readonly vmstat: VmStat;
  readonly vmSysctl: VmSysctl;
  readonly anonVmas: AnonVmas;
  /** Files that can be mapped. */
  readonly mappings = new AddressSpaces(this);
  /** Pages that a user keeps in RAM otherwise than by mlock(), by uid (user_struct.locked_vm). Op.Stats announces it. */
  readonly lockedByUser = new Map<number, number>();
  /** The tmpfs that nobody sees: of memfds, and of shared anonymous memory. */
  readonly shmem = new ShmemSb(SHMEM_DEV, Infinity);
  readonly thp: TransparentHugePages;
  readonly hugetlb: Hugetlb;
  readonly ksm: Ksm;
  readonly shm: Shm;
  readonly sem: Sem;
  readonly msg: Msg;
  /** Files that signals are read from: who sleeps for one is woken by every signal. */
  signalfds = 0;
  readonly mqueues = new Mqueues();
  readonly fileLocks = new FileLocks();
  readonly uprobes: Uprobes;
  readonly perfEvents = new PerfEvents();
  /** What /sys/kernel/debug/gup_test has pinned. */
  readonly gupTest: GupTest;
  /** Who holds which reference; null when nobody asks. */
  readonly refs: RefTracker | null;
  /** The consumer of tracepoints; null when recording is off. */
  sink: EventSink | null = null;
  /** Told of each write to a frame while checking, in one step with it: who watches frames, as LR and SC do. */
  onFrameWrite: ((executor: number, frame: number) => void) | null = null;
  /** Told of each frame whose code the kernel has changed (flush_icache_page()): who keeps code that is decoded. */
  flushIcachePage: ((frame: number) => void) | null = null;
  /** Who is in which kernel function; null unless the kernel was assembled so that functions tell. */
  ftrace: Ftrace | null = null;
  readonly tasks = new TaskTable();
  readonly processes = new Map<number, Process>();
  readonly mms: Mm[] = [];
  /** All devices of drivers, by number. */
  readonly devices: Device[] = [];
  /** What they mirror of address spaces, from the making of a mirror to `k.device.mirrorFree`. */
  readonly mirrors: DeviceMirror[] = [];
  /** What devices have cached of page tables that they share, until `k.iommuSva.svaFree`. */
  readonly secondaryTlbs: SecondaryTlb[] = [];
  /** Every userfaultfd context that somebody refers to. */
  readonly userfaultfds: UserfaultfdCtx[] = [];
  nextUserfaultfdId = 1;
  nextEventfdId = 0;
  /** vm.unprivileged_userfaultfd. */
  unprivilegedUserfaultfd = 0;
  nextMmId = 1;
  vfs!: Vfs;
  /** The disk that swap is on; null on a machine without one. */
  swapDisk: SwapDisk | null = null;
  readonly signals = new Signals(this);
  readonly futexes: Futexes;
  /** Tasks that wait for a folio lock or for writeback, by page. */
  readonly folioWaiters = new Map<number, WaitQueue>();
  /** vm.page_lock_unfairness: how often a waiter for a folio lock may lose it to somebody faster, before it is handed it. */
  pageLockUnfairness = 5;
  /** Those that are handed the lock of a folio when it is unlocked, in order, by page. */
  readonly folioHandoffs = new Map<number, { readonly task: Task; granted: boolean }[]>();
  /** /sys/kernel/mm/numa/demotion_enabled and swap/vma_ra_enabled: nothing here depends on them. */
  demotionEnabled = false;
  vmaReadahead = true;
  /** Where kswapd sleeps until somebody finds memory low. */
  readonly kswapdWait: WaitQueue;
  /** Threads in poll(2). */
  readonly pollWait: WaitQueue;
  /** Behind those of the standard streams. */
  nextPipeIno = 4;
  /** A bit for the highest zone of each kind of allocation that kswapd was woken for, until it has seen to it. */
  kswapdZones = 0;

  /** What runs now, and where; `current` is null only before the first task runs. */
  current: Task | null = null;
  executor: Executor | null = null;
  /** A `try…` has met the schedule's wish to switch; the generator that must follow takes it. */
  pendingSwitch = false;

  private timeNs = 0;
  /** Nanoseconds of machine time until the schedule is asked again. */
  private quantumLeft = 0;
  private quantumStart = 0;

  constructor(
    readonly config: MachineConfig,
    choices?: Choices,
  ) {
    this.choices = choices ?? new SeededChoices(config.seed);
    this.locks = new Locks(this);
    this.sched = new Scheduler(this);
    this.futexes = new Futexes(this);
    this.dmesg = new Dmesg(this);
    for (let i = 0; i < config.cpus; i++) this.sched.addExecutor(`CPU ${i}`, false, config.tlbEntries);
    const devices = config.deviceMemory ?? NO_DEVICE_MEMORY;
    this.ram = config.memory ?? new FrameMemory(config.frames + devices.coherent);
    this.memmap = new Memmap(config.frames, devices);
    if ((config.nodes ?? 1) > 1) this.memmap.lastCpuPid = new Int32Array(this.memmap.nrPages).fill(-1);
    this.pgmaps = new DevicePagemaps(this);
    this.pt = new PageTables(this);
    this.vmstat = new VmStat();
    this.memcgs = new Memcgs(this);
    this.nodes = new Nodes(config.nodes ?? 1, config.frames, config.cpus);
    this.numa = new NumaSettings(this.nodes.count, config.checking);
    this.zones = new Zones(this);
    this.vmSysctl = new VmSysctl(this.zones.freePages());
    this.memoryBlocks = new MemoryBlocks(this);
    this.pageOwner = config.pageOwner === true ? new PageOwner(this) : null;
    this.swap = new SwapDevice(this, config.swapSlots);
    this.batches = new FolioBatches(config.cpus);
    this.anonVmas = new AnonVmas(this);
    this.thp = new TransparentHugePages(this);
    this.hugetlb = new Hugetlb(this);
    this.ksm = new Ksm(this);
    this.shm = new Shm(this);
    this.sem = new Sem(this);
    this.msg = new Msg(this);
    this.uprobes = new Uprobes(this);
    this.gupTest = new GupTest(this);
    this.refs = config.checking ? new RefTracker(this) : null;
    this.kswapdWait = new WaitQueue(this);
    this.pollWait = new WaitQueue(this);
  }

  /**
   * Announces an access to shared state that is about to happen, and asks the schedule: true when
   * somebody else is to run first. The caller then yields `SWITCH`.
   */
  point(op: number, object: number): boolean {
    if ((this.quantumLeft -= POINT_NS) > 0) return false;
    return this.pointSlow(op, object);
  }

  private pointSlow(op: number, object: number): boolean {
    this.endQuantum();
    this.sink?.point(this.executor!.id, op, object);
    const { strategy } = this.sched;
    if (strategy.preempt(op, object)) return true;
    this.startQuantum(strategy.quantum(this.executor!));
    return false;
  }

  /** What else the step that runs now touches, where its point could not say: the schedule is not asked. */
  touches(op: number, object: number): void {
    if (!this.config.checking) return;
    const executor = this.executor?.id ?? 0;
    this.sink?.touches?.(executor, op, object);
    if (this.onFrameWrite !== null && FRAME_WRITES.has(op)) this.onFrameWrite(executor, object);
  }

  /** The running task is about to do what may sleep, as might_sleep() says it: not allowed with a spinlock, or in an RCU section. */
  mightSleep(what: string): void {
    if (this.current!.inAtomic) this.locks.observer?.sleepsInAtomic?.(this.current!, what, false);
  }

  /** The running task calls what asserts that it holds a lock, for reading or writing (lockdep_assert_held()). */
  mustHold({ cls, id }: { readonly cls: string; readonly id: number }, what: string): void {
    this.locks.observer?.needs?.(this.current!, cls, id, what);
  }

  /** The running task is about to do what cannot be done before `mm` is no more under invalidation. */
  mightWaitForInvalidation(mm: Mm, what: string): void {
    if (this.current!.invalidating === mm) this.locks.observer?.waitsInCallback?.(this.current!, what);
  }

  takePendingSwitch(): boolean {
    const pending = this.pendingSwitch;
    this.pendingSwitch = false;
    return pending;
  }

  startQuantum(ns: number): void {
    this.quantumLeft = ns;
    this.quantumStart = ns;
  }

  endQuantum(): void {
    this.timeNs += this.quantumStart - this.quantumLeft;
    this.quantumStart = this.quantumLeft = 0;
  }

  /** How many instructions the running guest may retire before the schedule is asked. */
  instructionBudget(): number {
    return this.quantumLeft > 1 ? this.quantumLeft : 1;
  }

  /** Accounts for retired guest instructions, a nanosecond each, or for a named cost. */
  charge(ns: number): void {
    this.quantumLeft -= ns;
  }

  /** Nanoseconds since boot. */
  now(): number {
    return this.timeNs + (this.quantumStart - this.quantumLeft);
  }

  /** Nothing ran until then. */
  advanceTo(time: number): void {
    if (time > this.timeNs) this.timeNs = time;
  }

  /** Points the CPU at another address space. Kernel threads keep the last one (lazy TLB). */
  switchMm(executor: Executor, mm: Mm): void {
    if (executor.activeMm === mm) return;
    if (executor.activeMm !== null) executor.activeMm.cpumask &= ~(1 << executor.id);
    executor.tlb.flushAll();
    executor.activeMm = mm;
    mm.cpumask |= 1 << executor.id;
  }

  /** Whether a pending signal ends a sleep of this kind. */
  signalWakes(task: Task, state: TaskState): boolean {
    return this.signals.endsSleep(task, state);
  }

  /**
   * The CPU whose per-CPU data the running code uses. A device's engine calls the kernel through
   * its driver, which then runs on CPU 0.
   */
  get cpu(): number {
    const { executor } = this;
    return executor === null || executor.isDevice ? 0 : executor.id;
  }

  folioWaitQueue(page: number): WaitQueue {
    let queue = this.folioWaiters.get(page);
    if (queue === undefined) {
      queue = new WaitQueue(this);
      this.folioWaiters.set(page, queue);
    }
    return queue;
  }
}
