import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import { Restart, signalBit, type SignalInfo } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { O, Poll, type FileOps, type OpenFile } from "./vfs.js";

/** struct signalfd_siginfo, in bytes. */
const SIGINFO_SIZE = 128;

/** Signals that are read. Whose they are is up to who reads: his own, and his process's. */
class Signalfd {
  constructor(
    readonly k: Kernel,
    /** A bit for each. */
    public mask: bigint,
  ) {}

  /** Whether there is one for the current task. */
  get ready(): boolean {
    const task = this.k.m.current!;
    const pending = [...task.pendingSignals, ...(task.process?.sharedPending ?? [])];
    return pending.some((signo) => (this.mask & signalBit(signo)) !== 0n);
  }
}

/** signalfd4(2) with a new descriptor. `mask` without what cannot be blocked. */
export function makeSignalfd(k: Kernel, mask: bigint, flags: number): OpenFile {
  const file = anonFile(k, "[signalfd]", SIGNALFD_OPS, O.RDWR | (flags & O.NONBLOCK));
  file.data = new Signalfd(k, mask);
  k.m.signalfds++;
  return file;
}

/** The same with one that there is: 0, or -EINVAL for another file. */
export function* setSignalfd(k: Kernel, file: OpenFile, mask: bigint): Atomic<number> {
  if (!(file.data instanceof Signalfd)) return -Errno.EINVAL;
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  file.data.mask = mask;
  k.m.pollWait.wakeAll();
  return 0;
}

function write(view: DataView, at: number, info: SignalInfo): void {
  view.setUint32(at, info.signo, true);
  view.setInt32(at + 8, info.code, true);
  view.setUint32(at + 12, info.pid ?? 0, true);
  view.setUint32(at + 32, info.overrun ?? 0, true);
  view.setInt32(at + 40, info.status ?? 0, true);
  if (info.value !== undefined) {
    view.setInt32(at + 44, Number(BigInt.asIntN(32, info.value)), true);
    view.setBigUint64(at + 48, BigInt.asUintN(64, info.value), true);
  }
  view.setBigUint64(at + 72, BigInt.asUintN(64, info.addrBig ?? BigInt(info.addr)), true);
  view.setUint16(at + 80, info.addrLsb ?? 0, true);
}

const SIGNALFD_OPS: FileOps = {
  stream: true,
  seeks: true,
  iter: { nowait: true },
  *read(k, file, into) {
    const { m } = k;
    const signalfd = file.data as Signalfd;
    const room = Math.floor(into.length / SIGINFO_SIZE);
    if (room === 0) return -Errno.EINVAL;
    const view = new DataView(into.buffer, into.byteOffset, into.length);
    for (let n = 0; ; ) {
      if (m.point(Op.Process, m.current!.process!.pid)) yield SWITCH;
      const info = k.signal.dequeueSignal(k, ~signalfd.mask);
      if (info !== null) {
        into.fill(0, n * SIGINFO_SIZE, (n + 1) * SIGINFO_SIZE);
        write(view, n * SIGINFO_SIZE, info);
        if (++n === room) return n * SIGINFO_SIZE;
        continue;
      }
      if (n > 0) return n * SIGINFO_SIZE;
      if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
      if (!(yield* m.pollWait.sleep(TaskState.Interruptible, "signalfd_read"))) return -Restart.ERESTARTSYS;
    }
  },
  showFdinfo: (file) => `sigmask:\t${(file.data as Signalfd).mask.toString(16).padStart(16, "0")}\n`,
  poll: (file) => ((file.data as Signalfd).ready ? Poll.IN : 0),
  *release(k, file) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    k.m.signalfds--;
  },
};
