import type { AddressSpace, Atomic, Kernel, MaySleep, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** Devices keep pages that their file has no more. */
const patch: UserPatch = {
  name: "punch-notify",
  title: "the notifier call when pages of a file are unmapped",
  apply: (base) => ({
    zap: {
      *unmapMappingRange(k: Kernel, mapping: AddressSpace, start: number, end: number, evenCows: boolean): MaySleep<void> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        yield* base.zap.unmapMappingRange(silent, mapping, start, end, evenCows);
      },
    },
  }),
};
export default patch;
