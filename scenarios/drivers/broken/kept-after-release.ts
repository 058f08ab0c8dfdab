import { type DeviceMirror, type Kernel, type MaySleep, type OpenFile } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Ends the subscription, and leaves the device what it has. */
function* release(k: Kernel, file: OpenFile): MaySleep<void> {
  const mirror = file.data as DeviceMirror;
  yield* k.mmuNotifier.intervalRemove(k, mirror.notifier);
  yield* k.device.mirrorFree(k, mirror);
}

export default mirrorDriver({ release });
