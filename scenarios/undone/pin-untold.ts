import type { Atomic, UserPatch } from "@faultline/kernel";

/** An address space does not know that something of it may be pinned, and fork does not look. */
const patch: UserPatch = {
  name: "pin-untold",
  title: "the mark MMF_HAS_PINNED, by which fork knows whom to ask for pins",
  apply: () => ({
    gupPin: {
      *setHasPinned(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
