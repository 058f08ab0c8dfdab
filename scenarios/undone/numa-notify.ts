import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** No permission of the program's changes, but the device writes by an entry that grants nothing. */
const patch: UserPatch = {
  name: "numa-notify",
  title: "the notifier call of NUMA balancing's scan",
  apply: (base) => ({
    protNuma: {
      *changeProtNuma(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.protNuma.changeProtNuma(silent, vma, start, end);
      },
    },
  }),
};
export default patch;
