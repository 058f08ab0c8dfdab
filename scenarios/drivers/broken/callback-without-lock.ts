import { type DeviceMirror, type Kernel, type MaySleep, type NotifierRange } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Drops translations without the lock that who enters them holds. */
function* invalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  k.mmuNotifier.intervalSetSeq(k, mirror.notifier, seq);
  yield* k.device.deviceInvalidate(k, mirror, range);
  return true;
}

export default mirrorDriver({ invalidate });
