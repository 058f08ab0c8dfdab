import type { MaySleep, UserPatch } from "@faultline/kernel";

/** A page is pinned for ever wherever it lies: memory that somebody wants empty never is. */
const patch: UserPatch = {
  name: "longterm-movable",
  title: "that long-term pins move pages to where they can stay",
  apply: () => ({
    gupLongterm: {
      *checkAndMigrateMovablePages(): MaySleep<number> {
        yield* [];
        return 0;
      },
    },
  }),
};
export default patch;
