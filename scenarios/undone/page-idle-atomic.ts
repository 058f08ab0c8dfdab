import { Op, PTE, SWITCH, ptePresent, type Atomic, type Kernel, type UserPatch, type Vma } from "@faultline/kernel";

/** The entry is read, and written without the bit: what the hardware has set meanwhile is lost. */
const patch: UserPatch = {
  name: "page-idle-atomic",
  title: "that idle page tracking clears the accessed bit in one step",
  apply: () => ({
    pageIdle: {
      *clearYoungPte(k: Kernel, vma: Vma, vpn: number, entry: number): Atomic<boolean> {
        const { m } = k;
        if (m.point(Op.PteRead, entry)) yield SWITCH;
        const [flags, pfn] = [m.pt.flags(entry), m.pt.pfn(entry)];
        if (!ptePresent(flags)) return false;
        yield* k.memory.setPteAt(k, vma.mm, vpn, entry, flags & ~PTE.A, pfn);
        return (flags & PTE.A) !== 0;
      },
    },
  }),
};
export default patch;
