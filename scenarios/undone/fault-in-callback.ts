import type { Dmirror, Kernel, MaySleep, NotifierRange, UserPatch } from "@faultline/kernel";

/** The callback fills the device's table at once with what hmm_range_fault() finds, and does not set the sequence. */
const patch: UserPatch = {
  name: "fault-in-callback",
  title: "the rule that an invalidate callback does not look for new pages",
  apply: (base) => ({
    testHmm: {
      *dmirrorIntervalInvalidate(k: Kernel, dmirror: Dmirror, range: NotifierRange, _seq: number): MaySleep<boolean> {
        const told = yield* base.testHmm.dmirrorIntervalInvalidate(k, dmirror, range, dmirror.notifier.invalidateSeq);
        yield* k.testHmm.dmirrorFault(k, dmirror, range.startVpn, range.endVpn, false);
        return told;
      },
    },
  }),
};
export default patch;
