import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A breakpoint goes, and with it the page that it was written into, which devices keep. */
const patch: UserPatch = {
  name: "uprobe-notify",
  title: "the notifier call of uprobe_unregister()",
  apply: (base) => ({
    uprobeWrite: {
      *uprobeWriteOpcode(k: Kernel, vma: Vma, vaddr: number, opcode: number, isRegister: boolean): MaySleep<number> {
        const silent: Kernel = isRegister ? k : { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.uprobeWrite.uprobeWriteOpcode(silent, vma, vaddr, opcode, isRegister);
      },
    },
  }),
};
export default patch;
