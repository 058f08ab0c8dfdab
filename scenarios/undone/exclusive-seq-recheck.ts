import type { Atomic, Dmirror, Kernel, MaySleep, UserPatch } from "@faultline/kernel";

function* never(): Atomic<boolean> {
  yield* [];
  return false;
}

/** The driver enters a page that may have been zapped since it has looked. */
const patch: UserPatch = {
  name: "exclusive-seq-recheck",
  title: "the sequence recheck before the driver enters an exclusive page",
  apply: (base) => ({
    testHmm: {
      *dmirrorAtomicMap(k: Kernel, dmirror: Dmirror, vpn: number, page: number): MaySleep<boolean> {
        const unaware: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, intervalReadRetry: never } };
        return yield* base.testHmm.dmirrorAtomicMap(unaware, dmirror, vpn, page);
      },
    },
  }),
};
export default patch;
