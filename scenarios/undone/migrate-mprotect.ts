import type { Kernel, UserPatch, Vma } from "@faultline/kernel";

/** A page comes back from migration writable, though its VMA has become read-only meanwhile. */
const patch: UserPatch = {
  name: "migrate-mprotect",
  title: "the permission that mprotect() takes from a migration entry",
  apply: () => ({ mprotect: { changedSwapPte: (_k: Kernel, _vma: Vma, old: number) => old } }),
};
export default patch;
