import type { Atomic, Kernel, UserPatch } from "@faultline/kernel";

/** The kernel before "riscv: enable MMU_GATHER_RCU_TABLE_FREE and HAVE_FAST_GUP" (2024), with a fast GUP all the same. */
const patch: UserPatch = {
  name: "table-rcu",
  title: "the grace period before a page table is freed",
  apply: () => ({
    mmGather: {
      *tlbTableFlush(k: Kernel, tables: readonly number[]): Atomic<void> {
        yield* k.mmGather.freeTables(k, tables);
      },
    },
  }),
};
export default patch;
