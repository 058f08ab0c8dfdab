import type { Dmirror, Kernel, MaySleep, NotifierRange, UserPatch } from "@faultline/kernel";

/** The driver's callback does not tell who reads the page table at that time: mmu_interval_set_seq() is not called. */
const patch: UserPatch = {
  name: "driver-seq",
  title: "the sequence that the driver's invalidate callback sets",
  apply: (base) => ({
    testHmm: {
      *dmirrorIntervalInvalidate(k: Kernel, dmirror: Dmirror, range: NotifierRange, _seq: number): MaySleep<boolean> {
        return yield* base.testHmm.dmirrorIntervalInvalidate(k, dmirror, range, dmirror.notifier.invalidateSeq);
      },
    },
  }),
};
export default patch;
