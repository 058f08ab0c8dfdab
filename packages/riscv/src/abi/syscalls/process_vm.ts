import { Cap, capable, Errno, Madv, MAX_RW_COUNT, ptraceMayAccess, type IoVec, type MaySleep, type Mm } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, getU64, readStruct } from "../user.js";
import * as F from "./format.js";
import { IOV_MAX } from "./fs.js";
import { isThere, targetOrSelf } from "./pidfd.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const USER_END = 2 ** 38;

/** Reads an array of iovec: -EINVAL for too many or a negative length, -EFAULT. */
export function* readIoVecs(t: GuestThread, address: number, count: number): MaySleep<IoVec[] | number> {
  if (count < 0 || count > IOV_MAX) return -Errno.EINVAL;
  const table = yield* readStruct(t.k, address, count * 16);
  if (table === null) return -Errno.EFAULT;
  const vectors: IoVec[] = [];
  for (let i = 0; i < count; i++) {
    const length = getI64(table, i * 16 + 8);
    if (length < 0) return -Errno.EINVAL;
    vectors.push({ address: getU64(table, i * 16), length });
  }
  return vectors;
}

/** The same for memory of the caller's own: cut where it would be too much, -EFAULT where it cannot be user memory. */
export function* importIoVecs(t: GuestThread, address: number, count: number): MaySleep<IoVec[] | number> {
  const vectors = yield* readIoVecs(t, address, count);
  if (typeof vectors === "number") return vectors;
  const cut: IoVec[] = [];
  let left = MAX_RW_COUNT;
  for (const { address: start, length } of vectors) {
    if (start + length > USER_END) return -Errno.EFAULT;
    const part = Math.min(length, left);
    cut.push({ address: start, length: part });
    left -= part;
  }
  return cut;
}

function transfer(write: boolean): Handler {
  return function* (t, [pid, localVector, localCount, remoteVector, remoteCount, flags]) {
    if (flags !== 0) return -Errno.EINVAL;
    const local = yield* importIoVecs(t, localVector!, localCount!);
    if (typeof local === "number") return local;
    if (local.every(({ length }) => length === 0)) return 0;
    const remote = yield* readIoVecs(t, remoteVector!, remoteCount!);
    if (typeof remote === "number") return remote;
    if (remote.every(({ length }) => length === 0)) return 0;
    const task = t.k.m.tasks.get(int(pid!));
    const mm = task?.mm ?? null;
    if (mm === null || !(yield* t.k.fork.mmgetNotZero(t.k, mm))) return -Errno.ESRCH;
    const allowed = ptraceMayAccess(t.k, task!.process!, "real");
    const result = !allowed ? -Errno.EPERM : yield* t.k.accessRemote.processVmRw(t.k, mm, local, remote, write);
    yield* t.k.fork.mmput(t.k, mm);
    return result;
  };
}

/** What may be advised about memory of others: it changes how fast they are, and no more. */
const REMOTE_ADVICE: ReadonlySet<number> = new Set([Madv.COLD, Madv.PAGEOUT, Madv.WILLNEED, Madv.COLLAPSE]);

const processMadvise: Handler = function* (t, [pidfd, vector, count, advice, flags]) {
  const { k, task } = t;
  if (int(flags!) !== 0) return -Errno.EINVAL;
  const ranges = yield* importIoVecs(t, vector!, count!);
  if (typeof ranges === "number") return ranges;
  const target = targetOrSelf(t, int(pidfd!));
  if (target === null) return -Errno.EBADF;
  const mm = isThere(t, target) ? target.process.mm : null;
  if (mm === null || !(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  let result = 0;
  if (!ptraceMayAccess(k, target.process, "files")) result = -Errno.EACCES;
  else if (mm !== task.mm && !REMOTE_ADVICE.has(int(advice!))) result = -Errno.EINVAL;
  else if (mm !== task.mm && !capable(k, Cap.SYS_NICE)) result = -Errno.EPERM;
  else result = yield* adviseAll(t, mm, ranges, int(advice!));
  yield* k.fork.mmput(k, mm);
  return result;
};

/** Bytes advised about, up to the first range that fails; its errno where that is the first of all. */
function* adviseAll(t: GuestThread, mm: Mm, ranges: readonly IoVec[], advice: number): MaySleep<number> {
  // Since 7.x: also where there is nothing to advise about.
  if (Madv[advice] === undefined) return -Errno.EINVAL;
  let done = 0;
  for (const { address, length } of ranges) {
    const error = yield* t.k.madvise.doMadvise(t.k, mm, address, length, advice);
    if (error < 0) return done > 0 ? done : error;
    done += length;
  }
  return done;
}

const ARGUMENTS = [F.INT, F.POINTER, F.SIZE, F.POINTER, F.SIZE, F.HEX];

export const PROCESS_VM: readonly (readonly [number, Syscall])[] = [
  [270, call("process_vm_readv", ARGUMENTS, transfer(false))],
  [271, call("process_vm_writev", ARGUMENTS, transfer(true))],
  [440, call("process_madvise", [F.INT, F.POINTER, F.SIZE, F.MADVICE, F.HEX], processMadvise)],
];
