import { Errno, NSEC_PER_SEC, Restart, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, readTimespec, setI64, structBytes } from "../user.js";

/* What ppoll(2), pselect6(2) and epoll_pwait(2) have in common. */

/** Until when to wait, in nanoseconds of machine time, by a struct timespec; Infinity without one. A negated errno. */
export function* readDeadline({ k }: GuestThread, timeout: number): MaySleep<number> {
  if (timeout === 0) return Infinity;
  const ns = yield* readTimespec(k, timeout);
  return ns < 0 ? ns : k.m.now() + ns;
}

/** Blocks the signals of a mask of so many bytes for as long as the call goes on: 0, -EINVAL, -EFAULT. */
export function* setUserSigmask({ k, task }: GuestThread, mask: number, size: number): MaySleep<number> {
  if (mask === 0) return 0;
  if (size !== 8) return -Errno.EINVAL;
  const view = yield* readStruct(k, mask, 8);
  if (view === null) return -Errno.EFAULT;
  task.thread.savedSigmask = task.blockedSignals;
  k.signal.setBlocked(k, view.getBigUint64(0, true));
  return 0;
}

/** Tells what is left of the time, and is what a call that goes on has then: the call's result. */
export function* tellRemaining({ k }: GuestThread, timeout: number, deadline: number, result: number): MaySleep<number> {
  if (timeout === 0) return result;
  const left = Math.max(deadline - k.m.now(), 0);
  const view = new DataView(new ArrayBuffer(16));
  setI64(view, 0, Math.floor(left / NSEC_PER_SEC));
  setI64(view, 8, Math.floor(left % NSEC_PER_SEC));
  // Where it cannot be told, the call does not go on.
  const untold = (yield* k.uaccess.copyToUser(k, timeout, structBytes(view))) < 0;
  return untold && result === -Restart.ERESTARTNOHAND ? -Errno.EINTR : result;
}
