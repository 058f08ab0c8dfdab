import { NotifyEvent, type DeviceMirror, type Kernel, type MaySleep, type NotifierRange } from "@faultline/kernel/driver";
import { mirrorDriver, mirrorInvalidate } from "../mirror.js";

/** The process is going away with all that it had: what is there to drop? */
function* invalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  if (range.event === NotifyEvent.RELEASE) {
    if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
    k.mmuNotifier.intervalSetSeq(k, mirror.notifier, seq);
    if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
    return true;
  }
  return yield* mirrorInvalidate(k, mirror, range, seq);
}

export default mirrorDriver({ invalidate });
