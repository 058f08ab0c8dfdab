import type { Atomic, Kernel, MaySleep, UserPatch, Vmf } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** The CPU takes a page back, and the device is not told. */
const patch: UserPatch = {
  name: "exclusive-fault-notify",
  title: "the notifier call when a device-exclusive entry is restored",
  apply: (base) => ({
    memory: {
      *removeDeviceExclusiveEntry(k: Kernel, vmf: Vmf): MaySleep<number> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.memory.removeDeviceExclusiveEntry(silent, vmf);
      },
    },
  }),
};
export default patch;
