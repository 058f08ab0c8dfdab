import { Cap, capable } from "../../kernel/capability.js";
import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import { ptraceMayAccess } from "../../kernel/ptrace.js";
import type { Kernel } from "../../kernel.js";
import type { Mm } from "../../mm/mm_types.js";
import { Event } from "../../trace.js";
import {
  bytesOf,
  MagicLink,
  parseInteger,
  PseudoDir,
  PseudoLink,
  TextFile,
  textOf,
  type PseudoFs,
  type TextFileSettings,
} from "../pseudo.js";
import { fdinfoLocks } from "../file_locks.js";
import { nodeOf, O, pathOf, type DirEntry, type FileOps, type Inode, type InodeKind, type OpenFile } from "../vfs.js";
import { storeClearRefs } from "./clear_refs.js";
import { commOf, mmOf, showLimits, showStat, showStatm, showStatus, type ProcTarget } from "./array.js";
import { MEM_OPS } from "./mem.js";
import { showNumaMaps } from "./numa_maps.js";
import { PAGEMAP_OPS, type PagemapState } from "./pagemap.js";
import * as info from "./pid_info.js";
import { PROCMAP_QUERY, procmapQuery } from "./procmap_query.js";

/** Inode numbers of what is below a process: its id in the upper part, what it is in the lower. */
const INO_PER_ID = 2 ** 20;
/** File descriptors' links come after the files proper. */
const FD_INO = 2 ** 16;
const FDINFO_INO = 2 ** 17;
/** Numbers of /proc/PID/task/TID lie above those of /proc/PID. */
const TASK_INO = 2 ** 44;
/** Longest name of a thread, in bytes. */
const TASK_COMM_LEN = 15;

/** The process or kernel thread with that id as it is now; null when there is none. */
function findTarget(k: Kernel, id: number): ProcTarget | null {
  const { m } = k;
  const task = m.tasks.get(id) ?? null;
  const process = task?.process ?? m.processes.get(id) ?? null;
  if (process !== null) return { id, process, task: task ?? [...process.threads].find((t) => t.id === id) ?? null };
  return task === null || task.executor.isDevice ? null : { id, process: null, task };
}

/** What the files of one /proc/PID need: who it is, and how to find out whether it still is. */
interface PidContext {
  readonly fs: PseudoFs;
  readonly id: number;
  /** True below /proc/PID/task. */
  readonly thread: boolean;
  readonly inoBase: number;
  readonly mountsText: () => string;
  readonly mountinfoText: () => string;
  /** The id of the mount that a file system's device number belongs to, as mountinfo has it. */
  readonly mountId: (dev: number) => number;
}

function targetOf(k: Kernel, context: PidContext): ProcTarget | null {
  return findTarget(k, context.id);
}

/**
 * Whose a file of /proc/PID is: its process's, unless that does not want to be looked into, which but for the
 * directory itself makes it root's. The process is looked up anew each time, and so is its owner.
 */
function owned<T extends Inode>(k: Kernel, context: PidContext, inode: T): T {
  const process = targetOf(k, context)?.process ?? null;
  const plainDirectory = inode.kind === "directory" && inode.mode === 0o555;
  if (process === null || (process.mm?.dumpable !== 1 && !plainDirectory)) return inode;
  inode.uid = process.cred.euid;
  inode.gid = process.cred.egid;
  return inode;
}

function mayLookInto(k: Kernel, { process }: ProcTarget): boolean {
  return process === null || ptraceMayAccess(k, process, "files");
}

type PidEntry = (context: PidContext, ino: number) => Inode;

/** A text file about a process; reading it answers ESRCH when the process is gone. */
function text(
  mode: number,
  show: (k: Kernel, target: ProcTarget, context: PidContext) => MaySleep<string | number>,
  store?: (k: Kernel, text: string, target: ProcTarget) => MaySleep<number>,
): PidEntry {
  return (context, ino) => {
    const settings: TextFileSettings = {
      mode,
      ino,
      plain: true,
      *show(k) {
        const target = targetOf(k, context);
        return target === null ? -Errno.ESRCH : yield* show(k, target, context);
      },
      ...(store === undefined
        ? {}
        : {
            *store(k: Kernel, written: string): MaySleep<number> {
              const target = targetOf(k, context);
              return target === null ? -Errno.ESRCH : yield* store(k, written, target);
            },
          }),
    };
    return new TextFile(context.fs, settings);
  };
}

/** A file that is only written to; ESRCH when the process is gone. */
function writeOnly(context: PidContext, ino: number, store: (k: Kernel, target: ProcTarget, text: string) => MaySleep<number>): Inode {
  return new TextFile(context.fs, {
    mode: 0o200,
    ino,
    plain: true,
    *store(k, written) {
      const target = targetOf(k, context);
      return target === null ? -Errno.ESRCH : yield* store(k, target, written);
    },
  });
}

/** A text file about an address space, which the open file keeps hold of even past an exec. */
function mmText(show: (k: Kernel, mm: Mm) => MaySleep<string | number>, withoutMm: string | number, query?: MmQuery): PidEntry {
  return (context, ino) => new MmTextFile(context, ino, show, withoutMm, query);
}

/** What an ioctl on such a file does. */
type MmQuery = (k: Kernel, mm: Mm | null, cmd: number, arg: number) => MaySleep<number>;

class MmTextFile implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  readonly size = 0;
  mode = 0o444;

  constructor(
    private readonly context: PidContext,
    readonly ino: number,
    private readonly show: (k: Kernel, mm: Mm) => MaySleep<string | number>,
    private readonly withoutMm: string | number,
    private readonly query?: MmQuery,
  ) {}

  get dev(): number {
    return this.context.fs.dev;
  }

  get blksize(): number {
    return this.context.fs.blksize;
  }

  readonly ops: FileOps = {
    read: (k, file, into, pos) => this.read(k, file, into, pos),
    ioctl: (k, file, cmd, arg) => this.ioctl(k, file, cmd, arg),
    *llseek(k, file, offset, whence) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      const from = whence === 0 ? 0 : whence === 1 ? file.pos : Number.NaN;
      return from + offset >= 0 ? from + offset : -Errno.EINVAL;
    },
  };

  *open(k: Kernel, file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Process, this.context.id)) yield SWITCH;
    const target = targetOf(k, this.context);
    if (target === null) return -Errno.ESRCH;
    if (!mayLookInto(k, target)) return -Errno.EACCES;
    const mm = mmOf(target);
    file.data = { mm, text: null } satisfies MmTextState;
    return mm === null && typeof this.withoutMm === "number" ? this.withoutMm : 0;
  }

  private *ioctl(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number> {
    return this.query === undefined ? -Errno.ENOTTY : yield* this.query(k, (file.data as MmTextState).mm, cmd, arg);
  }

  private *read(k: Kernel, file: OpenFile, into: Uint8Array, pos: number): MaySleep<number> {
    const state = file.data as MmTextState;
    if (state.text === null || pos === 0) {
      const made = state.mm === null ? this.withoutMm : yield* this.show(k, state.mm);
      if (typeof made === "number") return made;
      state.text = bytesOf(made);
    }
    const part = state.text.subarray(pos, pos + into.length);
    into.set(part);
    return part.length;
  }
}

interface MmTextState {
  readonly mm: Mm | null;
  text: Uint8Array | null;
}

/** pagemap and mem: not text, and not there without an address space. */
class MmDataFile implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  readonly size = 0;

  constructor(
    private readonly context: PidContext,
    readonly ino: number,
    readonly ops: FileOps,
    public mode: number,
    /** What `file.data` of an open file is. */
    private readonly dataOf: (k: Kernel, mm: Mm) => unknown,
  ) {}

  get dev(): number {
    return this.context.fs.dev;
  }

  get blksize(): number {
    return this.context.fs.blksize;
  }

  *open(k: Kernel, file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Process, this.context.id)) yield SWITCH;
    const target = targetOf(k, this.context);
    const mm = target === null ? null : mmOf(target);
    if (mm === null) return -Errno.ESRCH;
    if (!mayLookInto(k, target!)) return -Errno.EACCES;
    file.data = this.dataOf(k, mm);
    return 0;
  }
}

/** Bytes of an address space, as far as they can be had. */
function* peekMemory(k: Kernel, mm: Mm, start: number, end: number): MaySleep<Uint8Array> {
  const out = new Uint8Array(Math.max(0, end - start));
  if (out.length === 0 || !(yield* k.fork.mmgetNotZero(k, mm))) return out.subarray(0, 0);
  const done = yield* k.accessRemote.accessRemoteVm(k, mm, start, out, 0);
  yield* k.fork.mmput(k, mm);
  return out.subarray(0, done);
}

function* showCmdline(k: Kernel, target: ProcTarget): MaySleep<string> {
  const mm = mmOf(target);
  return mm === null ? "" : textOf(yield* peekMemory(k, mm, mm.argStart, mm.argEnd));
}

function* showEnviron(k: Kernel, target: ProcTarget): MaySleep<string> {
  const mm = mmOf(target);
  return mm === null ? "" : textOf(yield* peekMemory(k, mm, mm.envStart, mm.envEnd));
}

function* showComm(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  return `${commOf(target)}\n`;
}

/** Only a process may name its own threads. */
function* storeComm(k: Kernel, name: string, target: ProcTarget): MaySleep<number> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  if (target.process === null || target.process !== k.m.current!.process) return -Errno.EINVAL;
  const comm = name.replace(/\n.*$/s, "").slice(0, TASK_COMM_LEN);
  if (target.task !== null) {
    target.task.comm = comm;
    k.m.sink?.emit(Event.TaskRename, target.task.id, target.process.oomScoreAdj, 0, 0);
  }
  if (target.id === target.process.pid) target.process.comm = comm;
  return 0;
}

/** Badness scaled so that 1000 would be all memory, then by two thirds, as since Linux 5.9. */
function* showOomScore(k: Kernel, target: ProcTarget): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Process, target.id)) yield SWITCH;
  if (target.process === null || mmOf(target) === null) return "0\n";
  const total = k.oom.oomTotalPages(k, null);
  const badness = k.oom.oomBadness(k, target.process, total);
  if (!Number.isFinite(badness)) return "0\n";
  return `${Math.max(0, Math.trunc(((1000 + Math.trunc((badness * 1000) / total)) * 2) / 3))}\n`;
}

function* showOomScoreAdj(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  return `${target.process?.oomScoreAdj ?? 0}\n`;
}

function* storeOomScoreAdj(k: Kernel, written: string, target: ProcTarget): MaySleep<number> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const value = parseInteger(written);
  if (value === null || value < -1000 || value > 1000 || target.process === null) return -Errno.EINVAL;
  const privileged = capable(k, Cap.SYS_RESOURCE);
  if (value < target.process.oomScoreAdjMin && !privileged) return -Errno.EACCES;
  for (const process of info.withSameMemory(k, target.process)) {
    process.oomScoreAdj = value;
    if (privileged) process.oomScoreAdjMin = value;
  }
  return 0;
}

function* showCgroup(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  return `0::${(target.process?.memcg ?? k.m.memcgs.root).path}\n`;
}

/** A link whose text depends on the process; ENOENT where it has none, as kernel threads have no program. */
function link(target: (t: ProcTarget) => string | number): PidEntry {
  return (context, ino) => {
    const text = (k: Kernel): string | number => {
      const t = targetOf(k, context);
      return t === null ? -Errno.ENOENT : target(t);
    };
    return Object.assign(new PseudoLink(context.fs, text, ino), { isMagic: true as const });
  };
}

/** The program itself, wherever its name has gone. */
function exeLink(context: PidContext, ino: number): Inode {
  const node = (k: Kernel) => targetOf(k, context)?.process?.exeFile?.node ?? -Errno.ENOENT;
  const text = (k: Kernel): string | number => {
    const found = node(k);
    return typeof found === "number" ? found : pathOf(found);
  };
  return new MagicLink(context.fs, text, node, ino);
}

/** /proc/PID/fd: a link to the open file itself for each descriptor. */
class FdDir extends PseudoDir {
  constructor(
    private readonly context: PidContext,
    ino: number,
  ) {
    super(context.fs, 0o500, ino);
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const fd = /^(0|[1-9]\d{0,6})$/.test(name) ? Number(name) : -1;
    const { context } = this;
    const file = () => targetOf(k, context)?.process?.files.get(fd) ?? null;
    if (fd < 0 || file() === null) return -Errno.ENOENT;
    const link = new MagicLink(
      context.fs,
      () => file()?.path ?? -Errno.ENOENT,
      () => {
        const found = file();
        return found === null ? -Errno.ENOENT : nodeOf(found);
      },
      context.inoBase + FD_INO + fd,
      64,
    );
    link.mode = 0o500;
    return owned(k, context, link);
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const files = targetOf(k, this.context)?.process?.files;
    if (files === undefined) return [];
    return [...files.entries()].map(([fd]) => ({
      name: String(fd),
      ino: this.context.inoBase + FD_INO + fd,
      kind: "symlink",
    }));
  }
}

/** /proc/PID/fdinfo: where each descriptor's file stands, and how it was opened. */
class FdinfoDir extends PseudoDir {
  constructor(
    private readonly context: PidContext,
    ino: number,
  ) {
    super(context.fs, 0o555, ino);
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const fd = /^(0|[1-9]\d{0,6})$/.test(name) ? Number(name) : -1;
    const { context } = this;
    const files = () => targetOf(k, context)?.process?.files;
    if (fd < 0 || (files()?.get(fd) ?? null) === null) return -Errno.ENOENT;
    const file = new TextFile(context.fs, {
      mode: 0o400,
      plain: true,
      ino: context.inoBase + FDINFO_INO + fd,
      *show(kernel) {
        if (kernel.m.point(Op.Process, context.id)) yield SWITCH;
        const table = files();
        const file = table?.get(fd) ?? null;
        if (table === undefined || file === null) return -Errno.ENOENT;
        const flags = file.flags | (table.isCloexec(fd) ? O.CLOEXEC : 0);
        const mount = context.mountId(file.inode.dev ?? 0);
        return `pos:\t${file.pos}\nflags:\t0${flags.toString(8)}\nmnt_id:\t${mount}\nino:\t${file.inode.ino}\n${fdinfoLocks(table, file)}${file.ops.showFdinfo?.(file) ?? ""}`;
      },
    });
    return owned(k, context, file);
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const files = targetOf(k, this.context)?.process?.files;
    if (files === undefined) return [];
    return [...files.entries()].map(([fd]) => ({ name: String(fd), ino: this.context.inoBase + FDINFO_INO + fd, kind: "file" }));
  }
}

/** /proc/PID/task: a directory for each thread. */
class TaskDir extends PseudoDir {
  constructor(
    private readonly context: PidContext,
    ino: number,
  ) {
    super(context.fs, 0o555, ino);
  }

  private ids(k: Kernel): number[] {
    const target = targetOf(k, this.context);
    if (target === null) return [];
    return target.process === null ? [target.id] : [...target.process.threads].map((t) => t.id);
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const id = Number(name);
    if (!/^[1-9]\d{0,9}$/.test(name) || !this.ids(k).includes(id)) return -Errno.ENOENT;
    const context = { ...this.context, id, thread: true, inoBase: TASK_INO + id * INO_PER_ID };
    return owned(k, context, new PidDir(context));
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.ids(k).map((id) => ({ name: String(id), ino: TASK_INO + id * INO_PER_ID, kind: "directory" }));
  }
}

/** The files of /proc/PID; the same below /proc/PID/task/TID but for `task` itself. */
const PID_ENTRIES: readonly (readonly [name: string, kind: InodeKind, make: PidEntry])[] = [
  ["fd", "directory", (context, ino) => new FdDir(context, ino)],
  ["fdinfo", "directory", (context, ino) => new FdinfoDir(context, ino)],
  ["environ", "file", text(0o400, showEnviron)],
  ["auxv", "file", text(0o400, info.showAuxv)],
  ["status", "file", text(0o444, showStatus)],
  ["personality", "file", text(0o400, info.personality)],
  ["limits", "file", text(0o444, showLimits)],
  ["comm", "file", text(0o644, showComm, storeComm)],
  ["cmdline", "file", text(0o444, showCmdline)],
  ["stat", "file", text(0o444, (k, target, context) => showStat(k, target, !context.thread))],
  ["statm", "file", text(0o444, showStatm)],
  ["maps", "file", mmText((k, mm) => k.taskMmu.showMap(k, mm), "", queryMaps)],
  ["numa_maps", "file", mmText(showNumaMaps, "")],
  ["mem", "file", (context, ino) => new MmDataFile(context, ino, MEM_OPS, 0o600, (_k, mm) => mm)],
  ["cwd", "symlink", link((t) => t.process?.fs.cwd ?? -Errno.ENOENT)],
  ["root", "symlink", link((t) => (t.process === null ? -Errno.ENOENT : "/"))],
  ["exe", "symlink", exeLink],
  ["mounts", "file", text(0o444, (k, _target, context) => constant(k, context.mountsText()))],
  ["mountinfo", "file", text(0o444, (k, _target, context) => constant(k, context.mountinfoText()))],
  ["clear_refs", "file", (context, ino) => writeOnly(context, ino, (k, target, written) => storeClearRefs(k, mmOf(target), written))],
  ["smaps", "file", mmText((k, mm) => k.taskMmu.showSmaps(k, mm), "")],
  ["smaps_rollup", "file", mmText((k, mm) => k.taskMmu.showSmapsRollup(k, mm), -Errno.ESRCH)],
  ["pagemap", "file", (context, ino) => new MmDataFile(context, ino, PAGEMAP_OPS, 0o400, pagemapState)],
  ["wchan", "file", text(0o444, info.showWchan)],
  ["schedstat", "file", text(0o444, info.showSchedstat)],
  ["cgroup", "file", text(0o444, showCgroup)],
  ["oom_score", "file", text(0o444, showOomScore)],
  ["oom_adj", "file", text(0o644, info.showOomAdj, info.storeOomAdj)],
  ["oom_score_adj", "file", text(0o644, showOomScoreAdj, storeOomScoreAdj)],
  ["loginuid", "file", text(0o644, info.same("4294967295"))],
  ["sessionid", "file", text(0o444, info.same("4294967295"))],
  ["coredump_filter", "file", text(0o644, info.showCoredumpFilter, info.storeCoredumpFilter)],
  ["io", "file", text(0o400, info.showIo)],
  ["uid_map", "file", text(0o644, info.same(`${"0".padStart(10)} ${"0".padStart(10)} 4294967295\n`))],
  ["gid_map", "file", text(0o644, info.same(`${"0".padStart(10)} ${"0".padStart(10)} 4294967295\n`))],
  ["setgroups", "file", text(0o644, info.same("allow\n"))],
  ["timerslack_ns", "file", text(0o666, info.same("50000\n"))],
  ["ksm_merging_pages", "file", text(0o400, info.showKsmMergingPages)],
  ["ksm_stat", "file", text(0o400, info.showKsmStat)],
  ["task", "directory", (context, ino) => new TaskDir(context, ino)],
];

function pagemapState(k: Kernel, mm: Mm): PagemapState {
  return { mm, showPfn: capable(k, Cap.SYS_ADMIN) };
}

function* queryMaps(k: Kernel, mm: Mm | null, cmd: number, arg: number): MaySleep<number> {
  return cmd === PROCMAP_QUERY ? yield* procmapQuery(k, mm, arg) : -Errno.ENOTTY;
}

function* constant(k: Kernel, made: string): MaySleep<string> {
  if (k.m.point(Op.Process, 0)) yield SWITCH;
  return made;
}

/** /proc/PID, or /proc/PID/task/TID. */
class PidDir extends PseudoDir {
  constructor(private readonly context: PidContext) {
    super(context.fs, 0o555, context.inoBase);
  }

  private entries(): (readonly [string, InodeKind, PidEntry, number])[] {
    const { thread, inoBase } = this.context;
    return PID_ENTRIES.map(([name, kind, make], i) => [name, kind, make, inoBase + 1 + i] as const).filter(
      ([name]) => !thread || name !== "task",
    );
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (targetOf(k, this.context) === null) return -Errno.ENOENT;
    const entry = this.entries().find(([n]) => n === name);
    return entry === undefined ? -Errno.ENOENT : owned(k, this.context, entry[2](this.context, entry[3]));
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.entries().map(([name, kind, , ino]) => ({ name, kind, ino }));
  }
}

/** The root of proc: files that are always there, then a directory for each process. */
export class ProcRoot extends PseudoDir {
  private texts = { mounts: () => "", mountinfo: () => "", mountId: (_dev: number) => 0 };

  /** Tells where the texts of /proc/PID/mounts and mountinfo come from, and the ids of mounts. */
  describeMounts(mounts: () => string, mountinfo: () => string, mountId: (dev: number) => number): void {
    this.texts = { mounts, mountinfo, mountId };
  }

  private pidDir(k: Kernel, id: number): PidDir {
    const context: PidContext = {
      fs: this.fs,
      id,
      thread: false,
      inoBase: id * INO_PER_ID,
      mountsText: () => this.texts.mounts(),
      mountinfoText: () => this.texts.mountinfo(),
      mountId: (dev) => this.texts.mountId(dev),
    };
    return owned(k, context, new PidDir(context));
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | number | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const there = this.children.get(name);
    if (there !== undefined) return there;
    if (!/^[1-9]\d{0,9}$/.test(name)) return -Errno.ENOENT;
    return findTarget(k, Number(name)) === null ? -Errno.ENOENT : this.pidDir(k, Number(name));
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    const fixed = yield* super.readdir(k);
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const ids = [...k.m.processes.keys()];
    for (const [id, task] of k.m.tasks) if (task.process === null && !task.executor.isDevice) ids.push(id);
    ids.sort((a, b) => a - b);
    const dirs = ids.map((id): DirEntry => ({ name: String(id), ino: id * INO_PER_ID, kind: "directory" }));
    return [...fixed, ...dirs];
  }
}
