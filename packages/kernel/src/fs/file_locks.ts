import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue, type Task } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { fput, majorOf, minorOf, type FileTable, type Inode, type OpenFile } from "./vfs.js";

/** What a lock is for, as fcntl(2) says it. */
export enum LockType {
  RDLCK,
  WRLCK,
  UNLCK,
}

/** The last byte that a lock can be of: it goes to the end of the file, wherever that will be. */
export const OFFSET_MAX = 2n ** 63n - 1n;

/**
 * Whose a lock is: of POSIX record locks the descriptors', wherever they go; of those of open file
 * descriptions, and of flock(2), the description's.
 */
export type LockKind = "POSIX" | "OFDLCK" | "FLOCK";

/** A lock on bytes of a file, both ends included; flock(2) has them on all of it. */
export interface FileLock {
  readonly kind: LockKind;
  readonly type: LockType;
  readonly start: bigint;
  readonly end: bigint;
  readonly owner: FileTable | OpenFile;
  /** By which it was taken. */
  readonly file: OpenFile;
  /** Of who took it; -1 for a description's. */
  readonly pid: number;
}

/** The locks on a file, and who waits for some. Steps on `Op.Inode` of its inode guard them. */
export class InodeLocks {
  /** Those of fcntl(2): an owner's stand together, in order. */
  records: FileLock[] = [];
  whole: FileLock[] = [];
  readonly wait: WaitQueue;

  constructor(
    k: Kernel,
    readonly inode: Inode,
  ) {
    this.wait = new WaitQueue(k.m);
  }

  get all(): readonly FileLock[] {
    return [...this.whole, ...this.records];
  }
}

/** The files of a machine that have had locks, and who sleeps for one. */
export class FileLocks {
  readonly inodes = new Set<InodeLocks>();
  readonly waiting = new Map<Task, { readonly wanted: FileLock; blocker: FileLock }>();
}

function locksOf(k: Kernel, inode: Inode): InodeLocks {
  if (inode.locks === undefined) {
    inode.locks = new InodeLocks(k, inode);
    k.m.fileLocks.inodes.add(inode.locks);
  }
  return inode.locks;
}

const overlap = (a: FileLock, b: FileLock): boolean => a.start <= b.end && b.start <= a.end;

function conflict(wanted: FileLock, there: FileLock): boolean {
  return there.owner !== wanted.owner && overlap(there, wanted) && (there.type === LockType.WRLCK || wanted.type === LockType.WRLCK);
}

/** What another has in the way of a lock; null for nothing. To ask for UNLCK is to ask what one has oneself. */
export function* testRecordLock(k: Kernel, inode: Inode, wanted: FileLock): Atomic<FileLock | null> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const own = wanted.type === LockType.UNLCK;
  const found = inode.locks?.records.find((there) => (own ? there.owner === wanted.owner && overlap(there, wanted) : conflict(wanted, there)));
  return found ?? null;
}

/** The same locks, but for what of its owner's is in the range of `lock`, which has that, and what it touches of its own type. */
function placed(records: readonly FileLock[], lock: FileLock): FileLock[] {
  const others = records.filter(({ owner }) => owner !== lock.owner);
  const own: FileLock[] = [];
  let { start, end } = lock;
  // What is joined stays the lock that it was, and grows.
  let joined: FileLock | null = null;
  for (const there of records) {
    if (there.owner !== lock.owner) continue;
    const joins = there.type === lock.type && there.start <= end + 1n && start <= there.end + 1n;
    if (joins) {
      joined ??= there;
      if (there.start < start) start = there.start;
      if (there.end > end) end = there.end;
    } else if (!overlap(there, lock)) own.push(there);
    else {
      if (there.start < lock.start) own.push({ ...there, end: lock.start - 1n });
      if (there.end > lock.end) own.push({ ...there, start: lock.end + 1n });
    }
  }
  if (lock.type !== LockType.UNLCK) own.push({ ...(joined ?? lock), start, end });
  own.sort((a, b) => (a.start < b.start ? -1 : 1));
  const first = records.findIndex(({ owner }) => owner === lock.owner);
  const at = first < 0 ? others.length : first;
  return [...others.slice(0, at), ...own, ...others.slice(at)];
}

/** Whether who would wait for `blocker` would wait for himself, by way of others. */
function deadlocks(k: Kernel, wanted: FileLock, blocker: FileLock): boolean {
  const entries = [...k.m.fileLocks.waiting.values()];
  let at = blocker;
  for (let i = 0; i <= 10; i++) {
    const next = entries.find((entry) => entry.wanted.owner === at.owner)?.blocker;
    if (next === undefined) return false;
    if (next.owner === wanted.owner) return true;
    at = next;
  }
  return false;
}

/**
 * Takes, changes or gives up a lock: `take` does it at once, or says what is in the way. 0, -EAGAIN
 * where it would have to `wait`, -EDEADLK, -ERESTARTSYS.
 */
function* apply(k: Kernel, inode: Inode, wanted: FileLock, wait: boolean, take: (locks: InodeLocks) => FileLock | null): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  for (;;) {
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (inode.locks === undefined && wanted.type === LockType.UNLCK) return 0;
    const locks = locksOf(k, inode);
    const blocker = take(locks);
    if (blocker === null) return 0;
    if (!wait) return -Errno.EAGAIN;
    if (wanted.kind === "POSIX" && deadlocks(k, wanted, blocker)) return -Errno.EDEADLK;
    m.fileLocks.waiting.set(task, { wanted, blocker });
    const woken = yield* locks.wait.sleep(TaskState.Interruptible, "file lock");
    m.fileLocks.waiting.delete(task);
    if (!woken) return -Restart.ERESTARTSYS;
  }
}

/** F_SETLK, F_SETLKW and their kin of open file descriptions. */
export function* setRecordLock(k: Kernel, inode: Inode, wanted: FileLock, wait: boolean): MaySleep<number> {
  return yield* apply(k, inode, wanted, wait, (locks) => {
    const blocker = wanted.type === LockType.UNLCK ? undefined : locks.records.find((there) => conflict(wanted, there));
    if (blocker !== undefined) return blocker;
    locks.records = placed(locks.records, wanted);
    locks.wait.wakeAll();
    return null;
  });
}

/** flock(2). Who has another lock already loses it, whether or not he gets this one. */
export function* setWholeLock(k: Kernel, file: OpenFile, type: LockType, wait: boolean): MaySleep<number> {
  const wanted: FileLock = { kind: "FLOCK", type, start: 0n, end: OFFSET_MAX, owner: file, file, pid: k.m.current!.process!.pid };
  return yield* apply(k, file.inode, wanted, wait, (locks) => {
    const mine = locks.whole.find(({ owner }) => owner === file);
    if (mine?.type === type) return null;
    if (mine !== undefined) {
      locks.whole = locks.whole.filter((lock) => lock !== mine);
      locks.wait.wakeAll();
    }
    if (type === LockType.UNLCK) return null;
    const blocker = locks.whole.find((there) => conflict(wanted, there));
    if (blocker !== undefined) return blocker;
    locks.whole.push(wanted);
    return null;
  });
}

/** What an owner has on a file goes. */
function* release(k: Kernel, inode: Inode, owner: FileTable | OpenFile): Atomic<void> {
  if (inode.locks === undefined) return;
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const { locks } = inode;
  locks.records = locks.records.filter((lock) => lock.owner !== owner);
  locks.whole = locks.whole.filter((lock) => lock.owner !== owner);
  locks.wait.wakeAll();
}

/** A description is closed: its locks go. */
export function* releaseFileLocks(k: Kernel, file: OpenFile): Atomic<void> {
  yield* release(k, file.inode, file);
}

/** A descriptor has been taken out of its table: with it go all POSIX locks on the file that the table has, and the reference (filp_close()). */
export function* filpClose(k: Kernel, files: FileTable, file: OpenFile): MaySleep<void> {
  if (file.ops.flush !== undefined) yield* file.ops.flush(k, file);
  yield* release(k, file.inode, files);
  yield* fput(k, file);
}

/** A lock as /proc/locks and fdinfo show it, behind its number. */
function lockText({ kind, type, start, end, pid }: FileLock, { dev = 0, ino }: Inode): string {
  const what = type === LockType.WRLCK ? "WRITE" : "READ";
  const hex = (value: number): string => value.toString(16).padStart(2, "0");
  return `${kind.padEnd(6)} ADVISORY  ${what} ${pid} ${hex(majorOf(dev))}:${hex(minorOf(dev))}:${ino} ${start} ${end === OFFSET_MAX ? "EOF" : end}\n`;
}

/** /proc/locks: each lock, and behind it who waits for it. */
export function* showLocks(k: Kernel): MaySleep<string> {
  const { fileLocks } = k.m;
  let text = "";
  let number = 0;
  for (const { inode, all } of fileLocks.inodes) {
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    for (const lock of all) {
      text += `${++number}: ${lockText(lock, inode)}`;
      for (const { wanted, blocker } of fileLocks.waiting.values()) if (blocker === lock) text += `${number}: -> ${lockText(wanted, inode)}`;
    }
  }
  return text;
}

/** The lines of /proc/PID/fdinfo about locks: those of the description, and those that the table has by it. */
export function fdinfoLocks(files: FileTable, file: OpenFile): string {
  const { inode } = file;
  const own = (inode.locks?.all ?? []).filter((lock) => lock.file === file && (lock.owner === files || lock.owner === file));
  return own.map((lock, i) => `lock:\t${i + 1}: ${lockText(lock, inode)}`).join("");
}
