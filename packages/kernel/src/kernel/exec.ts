/**
 * @linux fs/exec.c
 * @omits Formats other than ELF and scripts (binfmt_misc), and auditing and tracing of exec.
 * @own getExec, readPart, releaseExec
 */
import { FileTable, type OpenFile } from "../fs/vfs.js";
import type { Mm } from "../mm/mm_types.js";
import { inodePermission, May } from "../fs/permission.js";
import { filpClose } from "../fs/file_locks.js";
import type { Kernel } from "../kernel.js";
import { SWITCH, type MaySleep } from "./coroutine.js";
import { capabilitiesAtExec, credentialsAtExec } from "./cred.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import { Sig, SI } from "./signal.js";
import { SS_DISABLE } from "./process.js";
import { TaskState, WaitQueue } from "./sched.js";

/** Longest name of a thread, in bytes. */
const TASK_COMM_LEN = 15;

/** A program is executed no more, for one `openExec` or `getExec`. */
export function* releaseExec(k: Kernel, file: OpenFile): MaySleep<void> {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (file.inode.writers !== undefined) file.inode.writers++;
  yield* k.m.vfs.put(k, file);
}

/** One process more executes a file; in one step with the point of its caller. */
export function getExec(k: Kernel, file: OpenFile): OpenFile {
  if (file.inode.writers !== undefined) file.inode.writers--;
  return k.m.vfs.get(file);
}

/** What a file has from `offset` (bytes) on, as much of `length` bytes as there is; or a negated errno. */
export function* readPart(k: Kernel, file: OpenFile, offset: number, length: number): MaySleep<Uint8Array | number> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const n = yield* k.m.vfs.read(k, file, bytes.subarray(done), offset + done);
    if (n < 0) return n;
    if (n === 0) break;
    done += n;
    if (k.m.signals.fatalPending(k.m.current!)) return -Errno.EINTR;
  }
  return bytes.subarray(0, done);
}

/**
 * Ends all other threads of the current one's group, and makes it the first of the group, whose id
 * it takes. 0, or -EAGAIN where the group exits, or another of its threads does the same.
 */
export function* deThread(k: Kernel): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  const process = task.process!;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  if (process.exitStatus !== null || process.execTask !== null) return -Errno.EAGAIN;
  process.execTask = task;
  m.signals.zapOthers(process, task);
  const queue = (process.execWait ??= new WaitQueue(m));
  while (process.threads.size > 1) {
    if (yield* queue.sleep(TaskState.Killable, "de_thread")) continue;
    process.execTask = null;
    return -Errno.EAGAIN;
  }
  if (task.id !== process.pid) {
    m.tasks.delete(task.id);
    task.id = process.pid;
    m.tasks.set(task.id, task);
    process.leaderStatus = null;
  }
  process.execTask = null;
  return 0;
}

/** Leaves the current address space for a new one, which nobody else knows yet. */
export function* execMmap(k: Kernel, mm: Mm): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  // As the old one was, all of it.
  if (mm.mergeAny) yield* k.ksm.ksmEnter(k, mm);
  yield* k.exit.exitMm(k, task);
  if (m.point(Op.Process, task.process!.pid)) yield SWITCH;
  task.mm = mm;
  task.process!.mm = mm;
  m.switchMm(m.executor!, mm);
}

/**
 * What of a process does not outlive execve(2) besides its memory: handlers, what its thread has
 * registered with the kernel, descriptors that are to be closed. `file` is the program, opened by `openExec`.
 */
export function* beginNewExec(k: Kernel, file: OpenFile, comm: string): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const process = task.process!;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  const old = process.exeFile;
  process.exeFile = file;
  process.hasExeced = true;
  // A program that may be executed, and not read, is not to be read while it runs either.
  if (inodePermission(k, file.inode, May.READ) < 0) process.mm!.dumpable = 0;
  const cred = (process.cred = credentialsAtExec(process, file.inode, m.vfs.isNosuid(file.inode)));
  process.capabilities = capabilitiesAtExec(process);
  // Who runs as somebody else is nobody to look into.
  if (cred.euid !== cred.uid || cred.egid !== cred.gid) process.mm!.dumpable = 0;
  task.comm = process.comm = comm.slice(0, TASK_COMM_LEN);
  const { thread } = task;
  // Its tracer can look at the new program before it runs, unless it has asked for an event instead.
  if (thread.tracee?.seized === false) m.signals.send(process, task, { signo: Sig.SIGTRAP, code: SI.USER, addr: 0, pid: process.pid });
  thread.robustList = 0;
  if (m.perfEvents.open.length > 0) yield* k.perfEvent.perfEventExec(k);
  thread.altStack = { sp: 0, size: 0, flags: SS_DISABLE };
  // Handlers are code of the old program; what is ignored stays so. Others may have the table too.
  process.handlers = process.handlers.ignored();
  if (process.files.users > 1) {
    process.files.users--;
    process.files = new FileTable(process.files);
  }
  yield* k.posixTimers.deleteAll(k, process);
  if (old !== null) yield* k.exec.releaseExec(k, old);
  yield* k.exec.closeOnExec(k);
}

export function* closeOnExec(k: Kernel): MaySleep<void> {
  const { files } = k.m.current!.process!;
  for (const [fd] of [...files.entries()]) {
    if (!files.isCloexec(fd)) continue;
    const file = files.remove(fd);
    if (file !== null) yield* filpClose(k, files, file);
  }
}
