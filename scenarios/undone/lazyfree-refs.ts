import type { Kernel, MaySleep, UserPatch } from "@faultline/kernel";

/** The kernel before "mm: fix race between MADV_FREE reclaim and blkdev direct IO read" (2022). */
const patch: UserPatch = {
  name: "lazyfree-refs",
  title: "the look at the references before reclaim drops a lazily freed page",
  apply: (base) => ({
    lazyfree: {
      *discardLazyfree(k: Kernel, folio: number): MaySleep<boolean> {
        const careless: Kernel = { ...k, rmap: { ...k.rmap, expectedRefs: () => Infinity } };
        return yield* base.lazyfree.discardLazyfree(careless, folio);
      },
    },
  }),
};
export default patch;
