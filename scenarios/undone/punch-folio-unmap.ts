import type { MaySleep, UserPatch } from "@faultline/kernel";

/** A page that was faulted in again, after the mappings of the hole had gone, leaves its file with a mapping. */
const patch: UserPatch = {
  name: "punch-folio-unmap",
  title: "the second unmapping of a page, when it is taken out of its file",
  apply: () => ({
    zap: {
      *unmapMappingFolio(): MaySleep<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
