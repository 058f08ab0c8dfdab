import type { Dmirror, Kernel, MaySleep, NotifierRange, UserPatch } from "@faultline/kernel";

/**
 * What a driver author may try: the invalidate callback drops the device's translations, and at
 * once faults the range in again with hmm_range_fault(), so that the device never misses.
 */
const patch: UserPatch = {
  name: "range-fault-in-callback",
  title: "that an invalidate callback does not fault its own range in",
  apply: (base) => ({
    testHmm: {
      *dmirrorIntervalInvalidate(k: Kernel, dmirror: Dmirror, range: NotifierRange, seq: number): MaySleep<boolean> {
        const done = yield* base.testHmm.dmirrorIntervalInvalidate(k, dmirror, range, seq);
        yield* k.testHmm.dmirrorFault(k, dmirror, range.startVpn, range.endVpn, false);
        return done;
      },
    },
  }),
};
export default patch;
