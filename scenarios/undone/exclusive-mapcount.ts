import { PATCHES, type UserPatch } from "@faultline/kernel";

/** The kernel before "mm/rmap: keep mapcount untouched for device-exclusive entries" (2025), as --without has it. */
const patch: UserPatch = {
  name: "exclusive-mapcount",
  title: "the map count that a device-exclusive entry keeps",
  apply: (base) => PATCHES.find((upstream) => upstream.name === "exclusive-mapcount")!.undo!(base),
};
export default patch;
