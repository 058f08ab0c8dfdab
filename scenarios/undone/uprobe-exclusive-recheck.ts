import { PATCHES, type Overlay, type UserPatch } from "@faultline/kernel";

/** As until 6.14: a copy of the page takes the place of whatever entry there is by then, a device's as well. */
const patch: UserPatch = {
  name: "uprobe-exclusive-recheck",
  title: "the look at the entry in __replace_page(), which a device may have made exclusive",
  apply(base): Overlay {
    const undone = (name: string): Overlay => PATCHES.find((one) => one.name === name)!.undo!(base);
    return { ...undone("uprobe-unapply-locked"), ...undone("uprobes-exclusive") };
  },
};
export default patch;
