import type { Atomic, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** Breakpoints come while a child is made: into the parent when it has been copied, and not into the child, which nobody finds yet. */
const patch: UserPatch = {
  name: "uprobe-dup-mmap",
  title: "dup_mmap_sem, by which fork and the registration of probes wait for each other",
  apply: () => ({ uprobes: { uprobeStartDupMmap: nothing, uprobeEndDupMmap: nothing } }),
};
export default patch;
