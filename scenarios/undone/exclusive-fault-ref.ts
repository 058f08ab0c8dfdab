import { PATCHES, type UserPatch } from "@faultline/kernel";

/** The kernel before "mm: take a page reference when removing device exclusive entries" (2023), as --without has it. */
const patch: UserPatch = {
  name: "exclusive-fault-ref",
  title: "the page reference taken before the folio lock is waited for, when a device-exclusive entry is restored",
  apply: (base) => PATCHES.find((upstream) => upstream.name === "exclusive-fault-ref")!.undo!(base),
};
export default patch;
