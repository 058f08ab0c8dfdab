import { Errno, HmmPfn, hmmRange, SWITCH, type DeviceMirror, type Kernel, type MaySleep } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Enters translations without the lock that the invalidate callback takes. */
function* fault(k: Kernel, mirror: DeviceMirror, vpn: number, write: boolean): MaySleep<number> {
  const { mm, notifier } = mirror;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  const range = hmmRange(mirror, vpn, vpn + 1, HmmPfn.REQ_FAULT | (write ? HmmPfn.REQ_WRITE : 0));
  for (;;) {
    range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, notifier);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const error = yield* k.hmm.hmmRangeFault(k, range);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (error !== -Errno.EBUSY) {
      const stale = error === 0 && (yield* k.mmuNotifier.intervalReadRetry(k, notifier, range.notifierSeq));
      if (error === 0 && !stale) yield* k.device.deviceMap(k, mirror, vpn, { page: range.pages[0]!, write, atomic: false });
      if (!stale) {
        yield* k.fork.mmput(k, mm);
        return error;
      }
    }
    if (k.m.retries.again("mirror_fault")) yield SWITCH;
  }
}

export default mirrorDriver({ fault });
