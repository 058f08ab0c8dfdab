import { type DeviceMirror, type Kernel, type MaySleep, type NotifierRange } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Waits for its lock, whoever asks: the OOM reaper waits with it, for a process that may wait for memory. */
function* invalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
  k.mmuNotifier.intervalSetSeq(k, mirror.notifier, seq);
  yield* k.device.deviceInvalidate(k, mirror, range);
  if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
  return true;
}

export default mirrorDriver({ invalidate });
