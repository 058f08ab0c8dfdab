import {
  assembleKernel,
  Errno,
  FileTable,
  initialLimits,
  Machine,
  MemoryType,
  mountAll,
  PAGE_SIZE,
  Process,
  Rlimit,
  SignalHandlers,
  Task,
  TaskState,
  type Choices,
  type DeviceMemory,
  type Driver,
  type FrameMemory,
  type HostNode,
  type HostStreams,
  type Kernel,
  type MaySleep,
  type OpenFile,
  type OverlayFactory,
  type PathNode,
  type ResourceLimit,
  type StdStreams,
} from "@faultline/kernel";
import { HartGroup } from "../cpu/group.js";
import { interpreterPath, parseElf } from "../elf/load.js";
import { cpuContexts, type CpuContext } from "./cpu_context.js";
import { loadProgram } from "./exec.js";
import { readHead, readProgram, releaseInterpreter } from "./executable.js";
import type { GuestHost } from "./guest_host.js";
import { GuestThread } from "./guest_thread.js";
import { OperatorShell, type OperatorLine, type OperatorOutput } from "./operator.js";
import { openPlaced, placeFile } from "./place_file.js";
import { Strace } from "./strace.js";
import { byteString } from "./user.js";

/** Kernel image, memmap and the like: what is missing from MemTotal, as a share of RAM. */
const RESERVED_SHARE = 1 / 64;
const KERNEL_IMAGE_BYTES = 16 * 1024 * 1024;

export interface LinuxOptions {
  /** Bytes of RAM, a multiple of 4096, at most 4 GiB. */
  readonly memoryBytes: number;
  /** Bytes of swap, a multiple of 4096; 0 for none. */
  readonly swapBytes: number;
  readonly cpus: number;
  /** NUMA nodes that CPUs and RAM are divided among, 1 to 8; 1 unless given. */
  readonly nodes?: number;
  readonly seed: number;
  /** Entries of each CPU's TLB, a power of two. */
  readonly tlbEntries?: number;
  /** Memory that a test device gets at a time, in pages, a multiple of 512; 256 MiB unless given. */
  readonly deviceChunkPages?: number;
  readonly overlays?: readonly OverlayFactory[];
  /** Drivers besides the test driver. */
  readonly drivers?: readonly Driver[];
  /** Keeps each task's stack of kernel functions (`m.ftrace`); makes the kernel slower. */
  readonly ftrace?: boolean;
  /** Keeps for each page who allocated it, with the chain of kernel functions; implies `ftrace`. */
  readonly pageOwner?: boolean;
  /** What uname(2) calls the kernel, e.g. "6.14.0"; the newest unless given. */
  readonly release?: string;
  readonly choices?: Choices;
  readonly frameMemory?: FrameMemory;
  /** The program's file, its name as the guest sees it, arguments (argv[0] included) and environment. */
  readonly bytes: Uint8Array;
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** What of the host the guest finds among its files, each at an absolute path. */
  readonly mounts?: readonly HostMount[];
  /** What the guest reads from standard input: all of it, or see `HostStreams`. */
  readonly stdin?: HostStreams["stdin"];
  readonly stdout: (bytes: Uint8Array) => void;
  readonly stderr: (bytes: Uint8Array) => void;
  /** Takes the lines of --strace. */
  readonly strace?: (line: string) => void;
  /** Pages of 2 MiB that the pool of huge pages has from boot (hugepages=N); 0 unless given. */
  readonly hugePages?: number;
  /** Limits of init, and so of everybody, that are not the usual ones. */
  readonly limits?: ReadonlyMap<Rlimit, ResourceLimit>;
  /** Operator's lines ahead of the program, and those that wait for quiescence each. */
  readonly before?: readonly OperatorLine[];
  readonly lines?: readonly OperatorLine[];
  /** Machine time that a line may take before it gets SIGINT, in seconds. */
  readonly lineTimeoutSeconds?: number;
  readonly operatorOutput?: OperatorOutput;
}

/** A file or directory of the host, and where it is in the guest; `source` is for /proc/mounts. */
export interface HostMount {
  readonly path: string;
  readonly source: string;
  readonly root: HostNode;
}

/** Nothing can be mounted at a path: it leads through a file, or through a file system that makes up its own names. */
export class MountError extends Error {
  override readonly name = "MountError";

  constructor(readonly path: string) {
    super(`nothing can be mounted at ${path}`);
  }
}

/** Why a program could not be loaded. `interpreter`: the path, a byte string, of the one that it could not be had with. */
export interface LoadFailure {
  readonly errno: number;
  readonly interpreter: string | null;
}

export interface LinuxResult {
  /** The program's end; null if it did not end. */
  readonly status: { readonly code: number } | { readonly signal: number } | null;
  /** "exited": the program ended; "shutdown": the last line was done; "stuck": nothing can go on. */
  readonly end: "exited" | "shutdown" | "stuck";
  /** Where each guest thread waits, a line for each, when stuck. */
  readonly stuck: readonly string[];
}

/** /dev/hmm_dmirror0 to 3: device-private ones, and device-coherent ones where there are addresses for their memory. */
const TEST_DEVICES = 4;
const COHERENT_DEVICES = 2;
/** Memory that a device gets at a time: 256 MiB. */
const CHUNK_PAGES = 1 << 16;
/** Chunks of device-private memory that there is room for: a device takes another when its first one is full. */
const PRIVATE_CHUNKS = 6;
/** What a machine can address: 4 GiB, RAM and device-coherent memory. */
const FRAMES_MAX = 1 << 20;

/** Room for the memory of the test devices, and of those of drivers, beside so much RAM. */
function deviceMemory(frames: number, drivers: readonly Driver[], chunk = CHUNK_PAGES): DeviceMemory {
  const having = (type: MemoryType): number => drivers.flatMap(({ devices }) => devices).filter(({ memory }) => memory === type).length;
  const coherent = Math.min(COHERENT_DEVICES + having(MemoryType.DEVICE_COHERENT), Math.floor((FRAMES_MAX - frames) / chunk));
  return { coherent: coherent * chunk, private: (PRIVATE_CHUNKS + having(MemoryType.DEVICE_PRIVATE)) * chunk, chunk };
}

/** A machine with a kernel, init, the operator's shell and one program. */
export class LinuxMachine implements GuestHost {
  readonly m: Machine;
  readonly k: Kernel;
  readonly cpus: readonly CpuContext[];
  readonly group: HartGroup;
  readonly strace: Strace | null;
  readonly threads = new Map<number, GuestThread>();
  readonly operator: OperatorShell;
  /** The program's process; null until the lines ahead of it are done. */
  program: Process | null = null;
  private readonly init: Process;
  private readonly streams: StdStreams;
  /** The program as the guest's files have it. */
  private readonly programFile: OpenFile;
  /** The path of the program's interpreter, a byte string. */
  private readonly interpreter: string | null;
  private execFailure: LoadFailure | null = null;
  private started = false;

  /** @throws ElfError for a program that cannot be run, MountError, RangeError where there is no memory for the machine */
  constructor(readonly options: LinuxOptions) {
    this.interpreter = interpreterPath(options.bytes, parseElf(options.bytes));
    const frames = options.memoryBytes / PAGE_SIZE;
    this.m = new Machine(
      {
        frames,
        reservedFrames: reservedFrames(frames),
        swapSlots: options.swapBytes / PAGE_SIZE,
        cpus: options.cpus,
        nodes: options.nodes ?? 1,
        seed: options.seed,
        tlbEntries: options.tlbEntries ?? 1024,
        checking: false,
        deviceMemory: deviceMemory(frames, options.drivers ?? [], options.deviceChunkPages),
        pageOwner: options.pageOwner === true,
        ...(options.frameMemory === undefined ? {} : { memory: options.frameMemory }),
      },
      options.choices,
    );
    const { m } = this;
    this.k = assembleKernel(m, options.overlays, options.ftrace === true || options.pageOwner === true);
    this.group = new HartGroup(m.ram.buffer.byteLength);
    m.flushIcachePage = (frame) => this.group.invalidateCode(frame);
    this.cpus = cpuContexts(this.k, this.group);
    this.strace = options.strace === undefined ? null : new Strace(options.strace);

    this.init = this.newProcess(m.sched.allocateTaskId(), "init", null, false);
    for (const [limit, value] of options.limits ?? []) this.init.limits[limit] = value;
    // 2 is the parent of the kernel threads, which does not run.
    m.sched.allocateTaskId();
    this.streams = mountAll(this.k, {
      ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
      ...(options.release === undefined ? {} : { uts: { release: options.release } }),
      write: (fd, bytes) => {
        (fd === 1 ? options.stdout : options.stderr)(bytes);
      },
    });
    for (const { path, source, root } of options.mounts ?? []) {
      if (m.vfs.mountHost(byteString(path), byteString(source), root) === null) throw new MountError(path);
    }
    this.programFile = openPlaced(placeProgram(this.k, options));
    this.k.testHmm.initTestHmm(this.k, TEST_DEVICES);
    for (const driver of options.drivers ?? []) this.k.device.loadDriver(this.k, driver);
    this.k.pageIo.startSwapDisk(this.k);
    this.k.vmscan.startKswapd(this.k);
    this.k.khugepaged.prepareKhugepaged(this.k);
    this.k.ksmd.prepareKsmd(this.k);
    this.operator = new OperatorShell(this, {
      before: options.before ?? [],
      hugePages: options.hugePages ?? 0,
      lines: options.lines ?? [],
      timeoutNs: (options.lineTimeoutSeconds ?? 60) * 1e9,
      output: options.operatorOutput ?? null,
    });
  }

  newProcess(pid: number, comm: string, parent: Process | null, isOperator: boolean): Process {
    const { m } = this;
    const memcg = parent?.memcg ?? m.memcgs.root;
    const limits = parent?.limits.slice() ?? initialLimits(m);
    const process = new Process(pid, comm, parent, new FileTable(), new SignalHandlers(), memcg, isOperator, limits);
    process.startTimeNs = m.now();
    m.processes.set(pid, process);
    return process;
  }

  newThread(): GuestThread {
    return new GuestThread(this, this.k);
  }

  get initProcess(): Process {
    return this.init;
  }

  /** Starts the program, from the operator's shell: what it does when the lines ahead are done. */
  startProgram(parent: Process): void {
    const { m, options } = this;
    const pid = m.sched.allocateTaskId();
    const comm = options.path.slice(options.path.lastIndexOf("/") + 1).slice(0, 15);
    const process = this.newProcess(pid, comm, parent, false);
    process.exeFile = this.programFile;
    this.program = process;
    this.streams.install(process.files);
    const thread = this.newThread();
    const task = new Task(pid, comm, m.sched.leastLoadedCpu(), thread.body(() => this.exec(thread)), {
      process,
      mm: null,
      memcg: process.memcg,
    });
    thread.task = task;
    process.threads.add(task);
    m.tasks.set(pid, task);
    m.sched.start(task);
  }

  /** The new task makes itself an address space and fills it. */
  private *exec(thread: GuestThread): MaySleep<boolean> {
    const { k, m, options } = this;
    const { task } = thread;
    const mm = yield* k.mmap.mmAlloc(k);
    if (mm === null) return this.execFailed(thread, -Errno.ENOMEM, null);
    task.mm = mm;
    task.process!.mm = mm;
    m.switchMm(m.executor!, mm);
    const { path, argv, env } = options;
    const head = yield* readHead(k, this.programFile);
    const program = typeof head === "number" ? head : yield* readProgram(k, this.programFile, head);
    if (typeof program === "number") return this.execFailed(thread, program, this.interpreter);
    const entry = yield* loadProgram(k, mm, {
      program,
      path: byteString(path),
      argv: argv.map(byteString),
      env: env.map(byteString),
      stackLimit: Number(task.process!.limits[Rlimit.STACK]!.current),
    });
    yield* releaseInterpreter(k, program);
    if (typeof entry === "number") return this.execFailed(thread, entry, null);
    thread.enter(entry);
    return true;
  }

  private execFailed(thread: GuestThread, error: number, interpreter: string | null): boolean {
    this.execFailure = { errno: -error, interpreter };
    thread.exiting = 9;
    return false;
  }

  /** A guest thread is gone. With the program's last one the machine stops. */
  threadGone(thread: GuestThread): void {
    const process = thread.task.process!;
    if (process === this.program && process.zombie) this.m.sched.halt();
  }

  /** Why the program could not be loaded; null if it could. */
  get loadFailure(): LoadFailure | null {
    return this.execFailure;
  }

  /** Runs until the program has ended, the operator has shut down, or nothing can go on. */
  run(): LinuxResult {
    return this.runFor(Infinity)!;
  }

  /** As `run`, a part at a time: null after that many turns of the CPUs and devices, to be called again. */
  runFor(turns: number): LinuxResult | null {
    if (!this.started) this.operator.start();
    this.started = true;
    if (this.m.sched.run(turns) === "paused") return null;
    this.strace?.finish();
    const { program } = this;
    if (program !== null && program.zombie) {
      const status = program.exitStatus ?? 0;
      const signal = status & 127;
      return { status: signal !== 0 ? { signal } : { code: status >> 8 }, end: "exited", stuck: [] };
    }
    if (this.operator.hasShutDown) return { status: null, end: "shutdown", stuck: [] };
    return { status: null, end: "stuck", stuck: this.describeTasks() };
  }

  /** Where each user thread waits, a line for each. */
  describeTasks(): string[] {
    const lines: string[] = [];
    for (const task of this.m.tasks.values()) {
      if (task.process === null || task.process.isOperator) continue;
      const where = task.thread.syscall === "" ? "" : ` in ${task.thread.syscall}`;
      lines.push(`${task.comm}[${task.id}]${where} waits for ${task.waitingFor || "nothing"}`);
    }
    return lines;
  }

  /** Which user threads run in the kernel and wait for nothing, and in which system call or fault, a phrase for each. */
  describeBusy(): string[] {
    const phrases: string[] = [];
    for (const task of this.m.tasks.values()) {
      if (task.process === null || task.process.isOperator || task.state !== TaskState.Running) continue;
      const { syscall, faultPc } = task.thread;
      if (syscall !== "") phrases.push(`${task.comm}[${task.id}] in ${syscall}()`);
      else if (faultPc !== -1) phrases.push(`${task.comm}[${task.id}] in a page fault at pc 0x${faultPc.toString(16)}`);
    }
    return phrases;
  }
}

/** A path from the root, where the program starts. */
function absolute(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Puts the program where its path says, or where no file can be there, at the top. */
function placeProgram(k: Kernel, { path, bytes }: LinuxOptions): PathNode {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return placeFile(k, absolute(path), bytes) ?? placeFile(k, `/${name}`, bytes)!;
}

/** Frames that the kernel itself occupies. */
function reservedFrames(frames: number): number {
  return Math.min(Math.floor(frames * RESERVED_SHARE) + KERNEL_IMAGE_BYTES / PAGE_SIZE, frames >> 2);
}

/** `128 + n` for signals, as a shell reports it. */
export function exitCodeOf(result: LinuxResult): number {
  if (result.end === "stuck") return 124;
  if (result.status === null) return 0;
  return "signal" in result.status ? 128 + result.status.signal : result.status.code;
}
