import { Errno, Sig, type MaySleep, type Process, type WaitFor } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { writeSigInfo } from "../signal_frame.js";
import { structBytes } from "../user.js";
import { rusageBytes } from "./rusage.js";
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
}

const SIGINFO_SIZE = 128;
const INT_MIN = -(2 ** 31);

/** Options as wait4 and waitid have them in common. */
function* waitFor(t: GuestThread, options: number, meant: (child: Process) => boolean): MaySleep<Process | number | null> {
  const { k } = t;
  const wait: WaitFor = {
    meant,
    clones: (options & Wait.ALL) !== 0 ? "too" : (options & Wait.CLONE) !== 0 ? "only" : "no",
    once: (options & Wait.NOHANG) !== 0,
    leave: (options & Wait.NOWAIT) !== 0,
  };
  return yield* k.exit.doWait(k, wait);
}

export const wait4: Handler = function* (t, [pid, status, options, rusage]) {
  const { k, task } = t;
  const which = int(pid!);
  const known = Wait.NOHANG | Wait.UNTRACED | Wait.CONTINUED | Wait.NOTHREAD | Wait.ALL | Wait.CLONE;
  if ((int(options!) & ~known) !== 0) return -Errno.EINVAL;
  if (which === INT_MIN) return -Errno.ESRCH;
  const { pgid } = task.process!;
  const child = yield* waitFor(t, int(options!), (other) => (which > 0 ? other.pid === which : which === -1 || other.pgid === (which === 0 ? pgid : -which)));
  if (typeof child === "number" || child === null) return child ?? 0;
  if (status !== 0) {
    const error = yield* k.uaccess.putUser32(k, status!, child.exitStatus!);
    if (error < 0) return error;
  }
  if (rusage !== 0) {
    const error = yield* k.uaccess.copyToUser(k, rusage!, rusageBytes(usageOf(child)));
    if (error < 0) return error;
  }
  return child.pid;
};

/** Of a process that has ended, its own children's included. */
function usageOf({ gone, reaped, maxRssPages }: Process): Parameters<typeof rusageBytes>[0] {
  return {
    userNs: gone.userTimeNs + reaped.userTimeNs,
    systemNs: gone.systemTimeNs + reaped.systemTimeNs,
    minor: gone.minorFaults + reaped.minorFaults,
    major: gone.majorFaults + reaped.majorFaults,
    maxRssPages,
  };
}

export const waitid: Handler = function* (t, [type, id, info, options, rusage]) {
  const { k, task } = t;
  const bits = int(options!);
  const ends = Wait.EXITED | Wait.UNTRACED | Wait.CONTINUED;
  const known = ends | Wait.NOHANG | Wait.NOWAIT | Wait.NOTHREAD | Wait.ALL | Wait.CLONE;
  if ((bits & ~known) !== 0 || (bits & ends) === 0) return -Errno.EINVAL;
  const which = int(id!);
  let meant: (child: Process) => boolean;
  switch (int(type!)) {
    case IdType.ALL:
      meant = () => true;
      break;
    case IdType.PID:
      if (which <= 0) return -Errno.EINVAL;
      meant = ({ pid }) => pid === which;
      break;
    case IdType.PGID: {
      if (which < 0) return -Errno.EINVAL;
      const pgid = which === 0 ? task.process!.pgid : which;
      meant = (child) => child.pgid === pgid;
      break;
    }
    default:
      return -Errno.EINVAL;
  }
  const child = yield* waitFor(t, bits, meant);
  if (typeof child === "number") return child;
  if (rusage !== 0 && child !== null) {
    const error = yield* k.uaccess.copyToUser(k, rusage!, rusageBytes(usageOf(child)));
    if (error < 0) return error;
  }
  if (info === 0) return 0;
  const view = new DataView(new ArrayBuffer(SIGINFO_SIZE));
  if (child !== null) writeSigInfo(view, k.exit.childInfo(child, Sig.SIGCHLD));
  return yield* k.uaccess.copyToUser(k, info!, structBytes(view));
};
