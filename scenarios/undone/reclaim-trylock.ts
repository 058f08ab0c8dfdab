import type { Atomic, Kernel, UserPatch } from "@faultline/kernel";

/** Reclaim goes on with a folio that somebody else has locked. */
const patch: UserPatch = {
  name: "reclaim-trylock",
  title: "the folio lock in reclaim",
  apply: (base) => ({
    vmscan: {
      *shrinkFolioList(k: Kernel, folios: readonly number[], ignoreReferences: boolean) {
        const rude: Kernel = {
          ...k,
          folioLock: {
            ...k.folioLock,
            *folioTrylock(kernel: Kernel, folio: number): Atomic<boolean> {
              yield* k.folioLock.folioTrylock(kernel, folio);
              return true;
            },
          },
        };
        return yield* base.vmscan.shrinkFolioList(rude, folios, ignoreReferences);
      },
    },
  }),
};
export default patch;
