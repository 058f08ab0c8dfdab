import type { Atomic, Kernel, Scan, UserPatch } from "@faultline/kernel";

/** Who holds a page writes to it when it has been copied. */
const patch: UserPatch = {
  name: "collapse-refs",
  title: "the look at the references before a page is collapsed",
  apply: () => ({
    collapse: {
      *isolateLocked(k: Kernel, folio: number): Atomic<Scan | null> {
        yield* k.swap.folioIsolateLru(k, folio);
        return null;
      },
    },
  }),
};
export default patch;
