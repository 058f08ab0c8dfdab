import { Errno, HmmPfn, hmmRange, SWITCH, type DeviceMirror, type Kernel, type MaySleep } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Takes the sequence as it stands, and so does not wait for an invalidation that is under way. */
function* fault(k: Kernel, mirror: DeviceMirror, vpn: number, write: boolean): MaySleep<number> {
  const { mm, notifier, mutex } = mirror;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  const range = hmmRange(mirror, vpn, vpn + 1, HmmPfn.REQ_FAULT | (write ? HmmPfn.REQ_WRITE : 0));
  for (;;) {
    range.notifierSeq = notifier.invalidateSeq;
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const error = yield* k.hmm.hmmRangeFault(k, range);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (error !== -Errno.EBUSY) {
      if (!mutex.tryLock()) yield* mutex.lock();
      const stale = error === 0 && (yield* k.mmuNotifier.intervalReadRetry(k, notifier, range.notifierSeq));
      if (error === 0 && !stale) yield* k.device.deviceMap(k, mirror, vpn, { page: range.pages[0]!, write, atomic: false });
      if (!mutex.tryUnlock()) yield* mutex.unlock();
      if (!stale) {
        yield* k.fork.mmput(k, mm);
        return error;
      }
    }
    if (k.m.retries.again("mirror_fault")) yield SWITCH;
  }
}

export default mirrorDriver({ fault });
