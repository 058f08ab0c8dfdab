import type { Kernel, MaySleep, Mm, UserPatch } from "@faultline/kernel";

/** The parent's CPUs go on writing to what the child has by now. */
const patch: UserPatch = {
  name: "fork-flush",
  title: "the TLB flush at the end of fork",
  apply: (base) => ({
    fork: {
      *dupMmap(k: Kernel, mm: Mm, old: Mm): MaySleep<number> {
        const blind: Kernel = { ...k, tlbflush: { ...k.tlbflush, *flushTlbMm() {} } };
        return yield* base.fork.dupMmap(blind, mm, old);
      },
    },
  }),
};
export default patch;
