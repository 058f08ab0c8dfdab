import type { Atomic } from "../kernel/coroutine.js";
import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Patch } from "./patch.js";

/** Before it, nobody walks riscv's page tables without locks, so they are freed behind the flush. */
function undo(_base: KernelModules): Overlay {
  return {
    gupFast: {
      *gupFast(k: Kernel): Atomic<number> {
        if (k.m.point(Op.Run, k.m.current!.id)) yield SWITCH;
        return 0;
      },
    },
    mmGather: {
      *tlbTableFlush(k: Kernel, tables: readonly number[]): Atomic<void> {
        yield* k.mmGather.freeTables(k, tables);
      },
    },
  };
}

export const RISCV_FAST_GUP_2024: Patch = {
  name: "riscv-fast-gup",
  title: "riscv: enable MMU_GATHER_RCU_TABLE_FREE and HAVE_FAST_GUP",
  series: "riscv: support fast gup",
  since: "6.9",
  status: "modelled",
  undo,
};
