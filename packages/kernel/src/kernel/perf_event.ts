/**
 * @linux kernel/events/core.c, kernel/trace/trace_uprobe.c, kernel/trace/trace_event_perf.c
 * @omits Every type of event but probes of user space: no PMU, no software events, tracepoints or hardware breakpoints.
 * @omits Samples: no ring buffer, no overflow, no BPF; events count. Groups, cgroups as targets, and prctl(2)'s switch for all events.
 * @omits Time runs for an event as the CPU time of the thread that it was opened for.
 * @own isPerfEvent, perfEventOpen, uprobeConsumer
 */
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Cap, capable } from "./capability.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import { ptraceMayAccess } from "./ptrace.js";
import type { Task } from "./sched.js";
import { UprobeAction, type Uprobe, type UprobeConsumer } from "./uprobes.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "../fs/anon_inode.js";
import { O, type FileOps, type OpenFile } from "../fs/vfs.js";

/** The type of probes of user space, as /sys/bus/event_source/devices/uprobe/type says: what comes first behind PERF_TYPE_MAX is kprobe. */
export const PERF_TYPE_UPROBE = 7;

const PERF_PATH = "anon_inode:[perf_event]";

/** PERF_FORMAT_*: what a read has besides the count. */
export enum PerfFormat {
  TOTAL_TIME_ENABLED = 1,
  TOTAL_TIME_RUNNING = 2,
  ID = 4,
  GROUP = 8,
  LOST = 16,
}

/** PERF_EVENT_IOC_*. */
export enum PerfIoc {
  ENABLE = 0x2400,
  DISABLE = 0x2401,
  REFRESH = 0x2402,
  RESET = 0x2403,
  ID = 0x8008_2407,
}

/** What an event is to be, of a checked struct perf_event_attr. */
export interface PerfEventAttr {
  readonly type: number;
  readonly config: bigint;
  readonly readFormat: number;
  readonly disabled: boolean;
  readonly inherit: boolean;
  readonly inheritThread: boolean;
  readonly enableOnExec: boolean;
  /** Reads the path of the file; null for none, or a negated errno. */
  uprobePath(): MaySleep<string | number | null>;
  /** Where in it. */
  readonly probeOffset: number;
}

/** One open event. Op.Inode with the number of its file announces it. */
export class PerfEvent {
  count = 0;
  enabled: boolean;
  enableOnExec: boolean;
  /** How long it was enabled, but for since `since` while it is. */
  private enabledNs = 0;
  private since = 0;
  uprobe: Uprobe | null = null;
  file!: OpenFile;

  constructor(
    private readonly k: Kernel,
    readonly id: number,
    readonly attr: PerfEventAttr,
    /** The thread that it was opened for; null for everybody. */
    readonly target: Task | null,
    /** Whose hits count: the target, and what inherits it. */
    readonly tasks: Set<Task>,
    readonly cpu: number,
  ) {
    this.enabled = !attr.disabled;
    this.enableOnExec = attr.enableOnExec;
    this.since = this.clock();
  }

  private clock(): number {
    return this.target === null ? this.k.m.now() : this.target.thread.userTimeNs + this.target.thread.systemTimeNs;
  }

  get timeEnabledNs(): number {
    return this.enabledNs + (this.enabled ? this.clock() - this.since : 0);
  }

  enable(on: boolean): void {
    if (this.enabled === on) return;
    this.enabledNs = this.timeEnabledNs;
    this.since = this.clock();
    this.enabled = on;
  }

  /** Whether it is about somebody in an address space. */
  isOf(mm: object): boolean {
    if (this.target === null) return true;
    for (const task of this.tasks) if (task.mm === mm) return true;
    return false;
  }

  /** The running thread has hit what it counts. */
  hit(): void {
    const { m } = this.k;
    m.touches(Op.Inode, this.file.inode.ino);
    if (this.enabled && (this.target === null || this.tasks.has(m.current!)) && (this.cpu === -1 || this.cpu === m.cpu)) this.count++;
  }
}

/** The events of a machine. */
export class PerfEvents {
  /** kernel.perf_event_paranoid: above 1, others than the privileged may not look at the kernel. */
  paranoid = 2;
  readonly open: PerfEvent[] = [];
  nextId = 1;
}

/** Who may look at everything. */
export function perfmonCapable(k: Kernel): boolean {
  return capable(k, Cap.PERFMON) || capable(k, Cap.SYS_ADMIN);
}

/** What an event has for its probe. */
export function uprobeConsumer(event: PerfEvent, isReturn: boolean): UprobeConsumer {
  const consumer: UprobeConsumer = {
    filter: (mm) => event.isOf(mm),
    handler(k) {
      if (!event.isOf(k.m.current!.mm!)) return UprobeAction.Remove;
      if (!isReturn) event.hit();
      return UprobeAction.Keep;
    },
  };
  if (isReturn) consumer.retHandler = (k) => void (event.isOf(k.m.current!.mm!) && event.hit());
  return consumer;
}

/**
 * perf_event_open(2), once its arguments are read: an open event, or a negated errno. `pid` 0 for the current thread, -1 for
 * everybody; `cpu` -1 for all.
 */
export function* perfEventOpen(k: Kernel, attr: PerfEventAttr, pid: number, cpu: number): MaySleep<OpenFile | number> {
  const { m } = k;
  if (m.point(Op.Process, 0)) yield SWITCH;
  const target = pid === -1 ? null : pid === 0 ? m.current! : (m.tasks.get(pid) ?? undefined);
  if (target === undefined || (target !== null && (target.process === null || target.process.isOperator))) return -Errno.ESRCH;
  if (cpu >>> 0 >= m.config.cpus && (target === null || cpu !== -1)) return -Errno.EINVAL;
  if (attr.type !== PERF_TYPE_UPROBE) return -Errno.ENOENT;
  if (!k.perfEvent.perfmonCapable(k)) return -Errno.EACCES;
  const event = new PerfEvent(k, m.perfEvents.nextId++, attr, target, new Set(target === null ? [] : [target]), cpu);
  event.file = anonFile(k, "[perf_event]", perfFops(event), O.RDWR);
  const error = yield* k.perfEvent.perfUprobeInit(k, event);
  if (error !== 0) return error;
  if (target !== null && !ptraceMayAccess(k, target.process!, "real") && !k.perfEvent.perfmonCapable(k)) {
    yield* k.perfEvent.perfRelease(k, event);
    return -Errno.EACCES;
  }
  return event.file;
}

/** Finds the file that an event is to probe, and probes it: 0 or a negated errno. */
export function* perfUprobeInit(k: Kernel, event: PerfEvent): MaySleep<number> {
  const { m } = k;
  const { attr } = event;
  const isReturn = (attr.config & 1n) !== 0n;
  // Where the program counts by itself who probes it.
  if (attr.config >> 32n !== 0n) return -Errno.EINVAL;
  const path = yield* attr.uprobePath();
  if (typeof path === "number") return path;
  if (path === null || path === "") return -Errno.EINVAL;
  const inode = yield* m.vfs.lookup(k, path, true);
  if (typeof inode === "number") return inode;
  if (inode.kind !== "file") return -Errno.EINVAL;
  const consumer = k.perfEvent.uprobeConsumer(event, isReturn);
  // Where it is to be enabled at exec, the mappings that will be made are those that count.
  if (event.enableOnExec) consumer.filter = () => false;
  const uprobe = yield* k.uprobes.uprobeRegister(k, inode, attr.probeOffset, consumer);
  if (typeof uprobe === "number") return uprobe;
  consumer.filter = (mm) => event.isOf(mm);
  event.uprobe = uprobe;
  event.file.data = consumer;
  if (m.point(Op.Inode, event.file.inode.ino)) yield SWITCH;
  m.perfEvents.open.push(event);
  return 0;
}

/** The last descriptor is closed. */
export function* perfRelease(k: Kernel, event: PerfEvent): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.Inode, event.file.inode.ino)) yield SWITCH;
  const { open } = m.perfEvents;
  open.splice(open.indexOf(event), 1);
  yield* k.uprobes.uprobeUnregister(k, event.uprobe!, event.file.data as UprobeConsumer);
}

/** A new task is counted where its parent is, and that is inherited. */
export function perfEventInitTask(k: Kernel, child: Task, isThread: boolean): void {
  for (const { attr, tasks } of k.m.perfEvents.open) {
    if (attr.inherit && (isThread || !attr.inheritThread) && tasks.has(k.m.current!)) tasks.add(child);
  }
}

/** The current thread runs another program. */
export function* perfEventExec(k: Kernel): Atomic<void> {
  const { m } = k;
  for (const event of m.perfEvents.open) {
    if (!event.enableOnExec || event.target !== m.current) continue;
    if (m.point(Op.Inode, event.file.inode.ino)) yield SWITCH;
    event.enableOnExec = false;
    event.enable(true);
  }
}

export function isPerfEvent(file: OpenFile): boolean {
  return file.path === PERF_PATH;
}

/** What a read has, in words of 64 bits. */
function wordsOf({ attr: { readFormat }, count, timeEnabledNs, id }: PerfEvent): number[] {
  const has = (format: PerfFormat): boolean => (readFormat & format) !== 0;
  const times = [...(has(PerfFormat.TOTAL_TIME_ENABLED) ? [timeEnabledNs] : []), ...(has(PerfFormat.TOTAL_TIME_RUNNING) ? [timeEnabledNs] : [])];
  const more = [...(has(PerfFormat.ID) ? [id] : []), ...(has(PerfFormat.LOST) ? [0] : [])];
  return has(PerfFormat.GROUP) ? [1, ...times, count, ...more] : [count, ...times, ...more];
}

function perfFops(event: PerfEvent): FileOps {
  return {
    stream: true,

    *read(k, file, into) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      const words = wordsOf(event);
      if (into.length < words.length * 8) return -Errno.ENOSPC;
      const view = new DataView(into.buffer, into.byteOffset);
      words.forEach((word, i) => {
        view.setBigUint64(i * 8, BigInt(word), true);
      });
      return words.length * 8;
    },

    *ioctl(k, file, cmd, arg) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      switch (cmd >>> 0) {
        case PerfIoc.ENABLE:
        case PerfIoc.DISABLE:
          event.enable(cmd === (PerfIoc.ENABLE as number));
          return 0;
        case PerfIoc.RESET:
          event.count = 0;
          return 0;
        case PerfIoc.ID:
          return yield* k.uaccess.putUser64(k, arg, BigInt(event.id));
        case PerfIoc.REFRESH:
          // Of those that sample.
          return -Errno.EINVAL;
        default:
          return -Errno.ENOTTY;
      }
    },

    release: (k) => k.perfEvent.perfRelease(k, event),
    poll: () => 0,
  };
}
