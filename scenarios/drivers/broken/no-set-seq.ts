import { type DeviceMirror, type Kernel, type MaySleep, type NotifierRange } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Does not tell who reads the page table just now. */
function* invalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
  yield* k.device.deviceInvalidate(k, mirror, range);
  if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
  return seq > 0;
}

export default mirrorDriver({ invalidate });
