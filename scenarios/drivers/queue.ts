import { driver, type Device, type DeviceMirror, type EngineJob, type Kernel, type MaySleep, type OpenFile } from "@faultline/kernel/driver";
import { mirrorDriver, mirrorRelease } from "./mirror.js";

const mirror = mirrorDriver();

/** A store that the device is to do. */
interface Store extends EngineJob {
  readonly file: OpenFile;
  readonly addr: number;
  readonly value: number;
}

function deviceOf(file: OpenFile): Device {
  return (file.data as DeviceMirror).device;
}

/** The mirror driver, of a device that does what is queued for it by itself, one thing after the other. */
export default driver({
  ...mirror,
  name: "queue",
  devices: [{ name: "queue0" }],
  file: {
    ...mirror.file,
    // What is queued refers to the file.
    *release(k, file) {
      const device = deviceOf(file);
      yield* k.device.waitJob(k, device, device.engine!.queued);
      yield* mirrorRelease(k, file);
    },
  },
  *execute(k: Kernel, _device: Device, job: EngineJob): MaySleep<void> {
    const { file, addr, value } = job as Store;
    yield* mirror.operations!["store32"]!(k, file, addr, value);
  },
  operations: {
    ...mirror.operations,
    /** Queues a store: a fence for `wait`. */
    *submit(k, file, addr, value) {
      const job: Store = { file, addr: addr, value: value };
      return yield* k.device.queueJob(k, deviceOf(file), job);
    },
    *wait(k, file, fence) {
      yield* k.device.waitJob(k, deviceOf(file), fence);
      return 0;
    },
  },
});
