import type { Kernel, MaySleep, Move, UserPatch } from "@faultline/kernel";

/** A CPU goes on writing to a page by the address from which it was moved. */
const patch: UserPatch = {
  name: "uffd-move-flush",
  title: "the TLB flush of UFFDIO_MOVE",
  apply: (base) => ({
    uffdMove: {
      *moveLockedFolio(k: Kernel, move: Move, dstPte: number, srcPte: number, flags: number, pfn: number): MaySleep<number> {
        const blind: Kernel = { ...k, tlbflush: { ...k.tlbflush, *flushTlbRange() {} } };
        return yield* base.uffdMove.moveLockedFolio(blind, move, dstPte, srcPte, flags, pfn);
      },
    },
  }),
};
export default patch;
