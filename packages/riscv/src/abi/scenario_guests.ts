import {
  Errno,
  FileTable,
  initialLimits,
  mountAll,
  PAGE_SIZE,
  Process,
  SignalHandlers,
  signalName,
  STACK_LIMIT,
  Task,
  type Executor,
  type Kernel,
  type MaySleep,
  type StdStreams,
} from "@faultline/kernel";
import { HartGroup } from "../cpu/group.js";
import type { ElfImage, ElfSegment } from "../elf/load.js";
import { cpuContexts, type CpuContext } from "./cpu_context.js";
import { loadBeside, loadProgram, overlapsMapped, type Entry } from "./exec.js";
import type { Program } from "./executable.js";
import type { GuestHost } from "./guest_host.js";
import { GuestThread } from "./guest_thread.js";
import { openPlaced, placeFile } from "./place_file.js";
import { byteString } from "./user.js";

/** A program that has been read. */
export interface GuestProgram {
  readonly bytes: Uint8Array;
  readonly image: ElfImage;
}

/** Frames that a program takes besides its file: stack, [vdso], the upper and lower tables of three regions. */
const FRAMES_BESIDES = 12;

/** Programs as threads of scenarios, by the name that the scenario has for their file. */
export class ScenarioGuests {
  constructor(readonly programs: ReadonlyMap<string, GuestProgram>) {}

  /**
   * Processors and file systems for one machine, on which nothing has run yet.
   * @param write gets what a thread, by its name, writes to its standard output and standard error
   */
  machine(k: Kernel, write: (thread: string, bytes: Uint8Array) => void): ScenarioGuestMachine {
    return new ScenarioGuestMachine(k, this, write);
  }
}

interface Loaded {
  readonly elf: string;
  readonly program: Program;
  readonly process: Process;
  readonly entry: Entry;
}

/**
 * The programs of one machine that is explored. Each is a process of its own in the one address
 * space of the scenario. Processes and memory are made ahead of the first execution, and are
 * the machine's state like all else; processors and threads are made anew by each execution.
 */
class ScenarioGuestMachine {
  private readonly streams: StdStreams;
  private readonly loaded = new Map<string, Loaded>();
  /** What the current execution runs on; null between setup and the first one. */
  private harts: Harts | null = null;

  constructor(
    private readonly k: Kernel,
    private readonly guests: ScenarioGuests,
    write: (thread: string, bytes: Uint8Array) => void,
  ) {
    this.streams = mountAll(k, { write: (_fd, bytes) => write(k.m.current!.process!.comm, bytes) });
  }

  /**
   * Loads a program into the address space of the current task, for `start` to run: null, or what
   * is wrong with that, to stand behind its name.
   */
  *load(thread: string, elf: string, args: readonly string[]): MaySleep<string | null> {
    const { k } = this;
    const { m } = k;
    const mm = m.current!.mm!;
    const { bytes, image } = this.guests.programs.get(elf)!;
    const same = [...this.loaded.values()].find((other) => other.elf === elf);
    const free = m.zones.freePages() + m.zones.pcpPages();
    const needed = (same === undefined ? filePages(image) : 0) + FRAMES_BESIDES;
    if (needed > free) return `needs ${needed} frames of RAM, and ${free} are free: its scenario's machine.frames must be larger`;
    if (same === undefined && overlapsMapped(mm, image)) {
      return "is linked to addresses that are in use already: link it elsewhere (-Wl,-Ttext-segment=ADDRESS)";
    }
    if (image.interpreter !== null) return "is dynamically linked: link it with -static";
    const exe = `/${elf.slice(elf.lastIndexOf("/") + 1)}`;
    const program = same?.program ?? this.place(exe, bytes, image);
    if (program === null) return "has the name of something else at the top of the guest's files: give it another";
    const process = new Process(m.sched.allocateTaskId(), thread, null, new FileTable(), new SignalHandlers(), m.current!.memcg, false, initialLimits(m));
    const path = byteString(exe);
    // Its pages are there when the threads begin: which of them faults text in is not what is explored.
    const what = { program, path, argv: [path, ...args.map(byteString)], env: [], stackLimit: STACK_LIMIT, populate: true };
    const entry = this.loaded.size === 0 ? yield* loadProgram(k, mm, what) : yield* loadBeside(k, mm, what, same?.entry ?? null);
    if (typeof entry === "number") return `cannot be loaded: ${entry === -Errno.ENOMEM ? "out of memory" : `errno ${-entry}`}`;
    process.mm = mm;
    mm.users++;
    m.processes.set(process.pid, process);
    this.streams.install(process.files);
    this.loaded.set(thread, { elf, program, process, entry });
    return null;
  }

  /** A program as a file of the guest's; null where there can be none. RAM is small, so only what is mapped is read. */
  private place(path: string, bytes: Uint8Array, image: ElfImage): Program | null {
    const node = placeFile(this.k, path, bytes, 0);
    return node === null ? null : { file: openPlaced(node), image, interpreter: null };
  }

  /** An execution begins. */
  begin(): void {
    this.harts = new Harts(this.k);
  }

  /**
   * Starts what `load` has loaded for a thread, on a CPU; threads that it makes go where there is
   * least to do. `ended` is told when the last of them is gone: null for status 0, else how it ended.
   */
  start(thread: string, executor: Executor, ended: (how: string | null) => void): void {
    const { m } = this.k;
    const { process, entry } = this.loaded.get(thread)!;
    const guest = this.harts!.newThread();
    // The entry is known: there is nothing to do for it in the kernel.
    const begin = function* (): MaySleep<boolean> {
      guest.enter(entry);
      return true;
    };
    this.harts!.ended.set(process, ended);
    const task = new Task(process.pid, thread, executor, guest.body(begin), { process, mm: process.mm, memcg: process.memcg });
    guest.task = task;
    process.threads.add(task);
    m.tasks.set(task.id, task);
    m.sched.start(task);
  }
}

/** The processors of one execution, and who hears of the end of its processes. */
class Harts implements GuestHost {
  readonly cpus: readonly CpuContext[];
  readonly group: HartGroup;
  readonly strace = null;
  readonly threads = new Map<number, GuestThread>();
  readonly ended = new Map<Process, (how: string | null) => void>();
  private readonly deaths = new Map<Process, string>();

  constructor(private readonly k: Kernel) {
    this.group = new HartGroup(k.m.ram.buffer.byteLength);
    this.cpus = cpuContexts(k, this.group);
    k.m.flushIcachePage = (frame) => this.group.invalidateCode(frame);
    // A store-conditional fails when anybody has written to the frame since, whoever it was.
    k.m.onFrameWrite = (executor, frame) => this.group.breakReservations(frame, this.cpus[executor]?.hart);
  }

  newThread(): GuestThread {
    return new GuestThread(this, this.k);
  }

  threadGone({ task, death }: GuestThread): void {
    const process = task.process!;
    if (death !== null) this.deaths.set(process, `is killed by ${signalName(death.signo)} (code ${death.code}) at 0x${death.addr.toString(16)}`);
    if (!process.zombie) return;
    const status = process.exitStatus!;
    const how = (status & 127) !== 0 ? (this.deaths.get(process) ?? `is killed by ${signalName(status & 127)}`) : `exits with status ${status >> 8}`;
    this.ended.get(process)?.(status === 0 ? null : how);
  }
}

/** Frames that the file's part of a program takes: its page cache, and copies of what can be written. */
function filePages({ segments }: ElfImage): number {
  const pages = ({ vaddr, filesz }: ElfSegment): number => Math.ceil((vaddr + filesz) / PAGE_SIZE) - Math.floor(vaddr / PAGE_SIZE);
  return segments.reduce((sum, one) => sum + pages(one) * (one.write ? 2 : 1), 0);
}
