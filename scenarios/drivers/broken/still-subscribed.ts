import { type DeviceMirror, type Kernel, type MaySleep, type OpenFile } from "@faultline/kernel/driver";
import { mirrorDriver } from "../mirror.js";

/** Gives the mirror up, and stays subscribed: the next invalidation calls into what is gone. */
function* release(k: Kernel, file: OpenFile): MaySleep<void> {
  const mirror = file.data as DeviceMirror;
  mirror.table.clear();
  yield* k.device.mirrorFree(k, mirror);
}

export default mirrorDriver({ release });
