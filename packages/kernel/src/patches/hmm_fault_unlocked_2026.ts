import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Dmirror } from "../drivers/dmirror.js";
import type { DmirrorCmd } from "../drivers/test_hmm.js";
import type { Patch } from "./patch.js";

/** Before it, a fault made by hmm_range_fault() keeps mmap_lock, and dies where it would have to drop it: no userfaultfd is told. */
function undo(_base: KernelModules): Overlay {
  return {
    testHmm: {
      *dmirrorReadUnlocked(_k: Kernel, _dmirror: Dmirror, _c: DmirrorCmd): MaySleep<number> {
        yield* [];
        return -Errno.EINVAL;
      },
    },
  };
}

export const HMM_FAULT_UNLOCKED_2026: Patch = {
  name: "hmm-fault-unlocked",
  title: "faults of hmm_range_fault() that may drop mmap_lock, and the test driver's READ_UNLOCKED",
  series: "hmm_range_fault() without mmap_lock",
  since: "7.3",
  status: "modelled",
  undo,
};
