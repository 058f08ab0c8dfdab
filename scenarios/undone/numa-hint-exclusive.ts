import { maybeMkwrite, type Kernel, type UserPatch, type Vma } from "@faultline/kernel";

/** The entry can be written again as its VMA can, though a child has the page by now. */
const patch: UserPatch = {
  name: "numa-hint-exclusive",
  title: "the look at PG_anon_exclusive where a hinting fault makes an entry writable",
  apply: (base) => ({
    numaFault: {
      rebuiltPte: (k: Kernel, vma: Vma, flags: number, pfn: number, upgrade: boolean): number =>
        maybeMkwrite(base.numaFault.rebuiltPte(k, vma, flags, pfn, upgrade), vma.flags),
    },
  }),
};
export default patch;
