import { type DeviceMirror, type Kernel, type MaySleep, type NotifierRange } from "@faultline/kernel/driver";
import { mirrorDriver, mirrorFault, mirrorInvalidate } from "../mirror.js";

/** Faults the range in again at once, so that the device never misses. */
function* invalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  const done = yield* mirrorInvalidate(k, mirror, range, seq);
  for (let vpn = range.startVpn; vpn < range.endVpn; vpn++) yield* mirrorFault(k, mirror, vpn, false);
  return done;
}

export default mirrorDriver({ invalidate });
