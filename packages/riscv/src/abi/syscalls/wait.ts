import { Errno, O, pidfdTarget, type MaySleep, type Process, type Waited } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { writeSigInfo } from "../signal_frame.js";
import { processTimes } from "./process.js";
import { rusageBytes, type Usage } from "./rusage.js";
import { int, type Handler } from "./syscall.js";

enum Wait {
  NOHANG = 1,
  UNTRACED = 2,
  EXITED = 4,
  CONTINUED = 8,
  NOWAIT = 0x0100_0000,
  NOTHREAD = 0x2000_0000,
  ALL = 0x4000_0000,
  CLONE = 0x8000_0000,
}

enum IdType {
  ALL,
  PID,
  PGID,
  PIDFD,
}

const SIGINFO_SIZE = 128;
const INT_MIN = -(2 ** 31);

/** Options as wait4 and waitid have them in common. */
function* waitFor(t: GuestThread, options: number, meant: (child: Process, id: number) => boolean, once = false): MaySleep<Waited | number | null> {
  const { k } = t;
  return yield* k.exit.doWait(k, {
    meant,
    clones: (options & Wait.ALL) !== 0 ? "too" : (options & Wait.CLONE) !== 0 ? "only" : "no",
    ended: (options & Wait.EXITED) !== 0,
    stopped: (options & Wait.UNTRACED) !== 0,
    continued: (options & Wait.CONTINUED) !== 0,
    once: once || (options & Wait.NOHANG) !== 0,
    leave: (options & Wait.NOWAIT) !== 0,
  });
}

export const wait4: Handler = function* (t, [pid, status, options, rusage]) {
  const { k, task } = t;
  const which = int(pid!);
  const known = Wait.NOHANG | Wait.UNTRACED | Wait.CONTINUED | Wait.NOTHREAD | Wait.ALL | Wait.CLONE;
  if ((int(options!) & ~known) !== 0) return -Errno.EINVAL;
  if (which === INT_MIN) return -Errno.ESRCH;
  const { pgid } = task.process!;
  const meant = (other: Process, id: number): boolean => (which > 0 ? id === which : which === -1 || other.pgid === (which === 0 ? pgid : -which));
  const waited = yield* waitFor(t, int(options!) | Wait.EXITED, meant);
  if (typeof waited === "number" || waited === null) return waited ?? 0;
  if (status !== 0) {
    const error = yield* k.uaccess.putUser32(k, status!, waited.status);
    if (error < 0) return error;
  }
  if (rusage !== 0) {
    const error = yield* k.uaccess.copyToUser(k, rusage!, rusageBytes(usageOf(waited.child)));
    if (error < 0) return error;
  }
  return waited.id;
};

/** Of a child, its own children's that were waited for included. */
function usageOf(process: Process): Usage {
  const { reaped, maxRssPages } = process;
  const own = processTimes(process);
  return {
    userNs: own.userNs + reaped.userTimeNs,
    systemNs: own.systemNs + reaped.systemTimeNs,
    minor: own.minor + reaped.minorFaults,
    major: own.major + reaped.majorFaults,
    maxRssPages,
  };
}

/** Whom waitid(2) is asked to wait for; a negated errno where that means nobody. */
function waitidTarget(t: GuestThread, type: number, which: number): { meant: (child: Process, id: number) => boolean; once: boolean } | number {
  const process = t.task.process!;
  switch (type) {
    case IdType.ALL:
      return { meant: () => true, once: false };
    case IdType.PID:
      return which <= 0 ? -Errno.EINVAL : { meant: (_child, id) => id === which, once: false };
    case IdType.PGID: {
      const pgid = which === 0 ? process.pgid : which;
      return which < 0 ? -Errno.EINVAL : { meant: (child) => child.pgid === pgid, once: false };
    }
    case IdType.PIDFD: {
      if (which < 0) return -Errno.EINVAL;
      const file = process.files.get(which);
      const target = file === null ? null : pidfdTarget(file);
      if (target === null) return -Errno.EBADF;
      // One that was opened so does not sleep, whatever the options say.
      return { meant: (child, id) => child === target.process && id === child.pid, once: (file!.flags & O.NONBLOCK) !== 0 };
    }
    default:
      return -Errno.EINVAL;
  }
}

function* waitForId(t: GuestThread, type: number, which: number, options: number): MaySleep<Waited | number | null> {
  const ends = Wait.EXITED | Wait.UNTRACED | Wait.CONTINUED;
  const known = ends | Wait.NOHANG | Wait.NOWAIT | Wait.NOTHREAD | Wait.ALL | Wait.CLONE;
  if ((options & ~known) !== 0 || (options & ends) === 0) return -Errno.EINVAL;
  const target = waitidTarget(t, type, which);
  if (typeof target === "number") return target;
  const waited = yield* waitFor(t, options, target.meant, target.once);
  return waited === null && target.once && (options & Wait.NOHANG) === 0 ? -Errno.EAGAIN : waited;
}

export const waitid: Handler = function* (t, [type, id, info, options, rusage]) {
  const { k } = t;
  const waited = yield* waitForId(t, int(type!), int(id!), int(options!));
  const found = typeof waited === "number" ? null : waited;
  if (rusage !== 0 && found !== null) {
    const error = yield* k.uaccess.copyToUser(k, rusage!, rusageBytes(usageOf(found.child)));
    if (error < 0) return error;
  }
  const result = typeof waited === "number" ? waited : 0;
  if (info === 0) return result;
  // Its fields, and nothing between or behind them; zeros where nothing was found, or something is wrong.
  const view = new DataView(new ArrayBuffer(SIGINFO_SIZE));
  if (found !== null) writeSigInfo(view, found.info);
  for (const at of [0, 16]) {
    const error = yield* k.uaccess.copyToUser(k, info! + at, new Uint8Array(view.buffer, at, 12));
    if (error < 0) return error;
  }
  return result;
};
