import type { Atomic, Dmirror, HmmRange, Kernel, MaySleep, UserPatch } from "@faultline/kernel";

function* never(): Atomic<boolean> {
  yield* [];
  return false;
}

/** The driver enters what hmm_range_fault() has read, whatever was invalidated since. */
const patch: UserPatch = {
  name: "mirror-seq-recheck",
  title: "the sequence recheck after hmm_range_fault()",
  apply: (base) => ({
    testHmm: {
      *dmirrorRangeFault(k: Kernel, dmirror: Dmirror, range: HmmRange, use: (index: number) => void): MaySleep<number> {
        const unaware: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, intervalReadRetry: never } };
        return yield* base.testHmm.dmirrorRangeFault(unaware, dmirror, range, use);
      },
    },
  }),
};
export default patch;
