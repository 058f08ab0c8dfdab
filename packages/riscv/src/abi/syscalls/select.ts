import { Errno, O, Poll, pollFile, Restart, TaskState, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct, readUser } from "../user.js";
import * as F from "./format.js";
import { fileOf } from "./fs.js";
import { readDeadline, setUserSigmask, tellRemaining } from "./poll_wait.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** What each of the three sets asks of a file. */
const ASKED = [
  Poll.IN | Poll.RDNORM | Poll.HUP | Poll.ERR | Poll.NVAL,
  Poll.OUT | Poll.WRNORM | Poll.WRBAND | Poll.ERR | Poll.NVAL,
  /** POLLPRI, which nothing here has. */
  2 | Poll.NVAL,
];

const has = (set: Uint8Array, fd: number): boolean => (set[fd >> 3]! & (1 << (fd & 7))) !== 0;

/** Descriptors that are in some set: -EBADF where one is not open. */
function chosen(t: GuestThread, sets: readonly (Uint8Array | null)[], n: number): number[] | number {
  const fds: number[] = [];
  for (let fd = 0; fd < n; fd++) {
    if (!sets.some((set) => set !== null && has(set, fd))) continue;
    if (fileOf(t, fd) === null) return -Errno.EBADF;
    fds.push(fd);
  }
  return fds;
}

/** What is ready: the sets, and how many bits they have. */
function look(t: GuestThread, sets: readonly (Uint8Array | null)[], fds: readonly number[]): { readonly ready: (Uint8Array | null)[]; readonly count: number } {
  const ready = sets.map((set) => (set === null ? null : new Uint8Array(set.length)));
  let count = 0;
  for (const fd of fds) {
    const file = fileOf(t, fd);
    const now = file === null || (file.flags & O.PATH) !== 0 ? Poll.NVAL : pollFile(file);
    sets.forEach((set, i) => {
      if (set === null || !has(set, fd) || (now & ASKED[i]!) === 0) return;
      ready[i]![fd >> 3]! |= 1 << (fd & 7);
      count++;
    });
  }
  return { ready, count };
}

/** pselect6(2). */
const pselect6: Handler = function* (t, [count, read, write, except, timeout, sigmask]) {
  const { k } = t;
  const deadline = yield* readDeadline(t, timeout!);
  if (deadline < 0) return deadline;
  if (sigmask !== 0) {
    // The address of the mask, and its size.
    const pair = yield* readStruct(k, sigmask!, 16);
    if (pair === null) return -Errno.EFAULT;
    const error = yield* setUserSigmask(t, getU64(pair, 0), getU64(pair, 8));
    if (error < 0) return error;
  }
  const result = yield* selectUntil(t, int(count!), [read!, write!, except!], deadline);
  return yield* tellRemaining(t, timeout!, deadline, result);
};

function* selectUntil(t: GuestThread, count: number, addresses: readonly number[], deadline: number): MaySleep<number> {
  const { k } = t;
  if (count < 0) return -Errno.EINVAL;
  // Beyond the table of descriptors there is none.
  const n = Math.min(count, t.task.process!.files.capacity);
  const bytes = Math.ceil(n / 64) * 8;
  const sets: (Uint8Array | null)[] = [];
  for (const address of addresses) {
    const set = address === 0 ? null : yield* readUser(k, address, bytes);
    if (address !== 0 && set === null) return -Errno.EFAULT;
    sets.push(set);
  }
  const fds = chosen(t, sets, n);
  if (typeof fds === "number") return fds;
  for (;;) {
    const { ready, count: found } = look(t, sets, fds);
    if (found > 0 || k.m.now() >= deadline) {
      for (const [i, set] of ready.entries()) {
        if (set !== null && bytes > 0 && (yield* k.uaccess.copyToUser(k, addresses[i]!, set)) < 0) return -Errno.EFAULT;
      }
      return found;
    }
    const timer = deadline === Infinity ? null : k.m.sched.addTimer(deadline, t.task.isUser, () => k.m.sched.wake(t.task));
    const woken = yield* k.m.pollWait.sleep(TaskState.Interruptible, fds.length === 0 ? "a signal or a timeout" : "select");
    timer?.cancel();
    if (!woken) return -Restart.ERESTARTNOHAND;
  }
}

export const SELECT: readonly (readonly [number, Syscall])[] = [[72, call("pselect6", [F.INT, F.POINTER, F.POINTER, F.POINTER, F.TIMESPEC, F.POINTER], pselect6)]];
