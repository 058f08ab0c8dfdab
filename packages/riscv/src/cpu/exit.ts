/** Why `Hart.run` returned. Constants, so that a caller can switch on them. */
export const Exit = {
  /** The budget is used up: exactly that many instructions retired. */
  BUDGET: 1,
  /** `pc` is at an ecall, which has not retired; whoever handles it advances pc by 4. */
  ECALL: 2,
  /** `pc` is at an ebreak or c.ebreak, which has not retired. */
  EBREAK: 3,
  /** No translation for `faultAddress`; the instruction at `pc` has changed nothing and can restart. */
  TLB_MISS: 4,
  /** `pc` is at an instruction that is not one, or not allowed; its bits are in `faultBits`. */
  ILLEGAL: 5,
  /** An LR, SC or AMO whose `faultAddress` is not a multiple of its size. */
  MISALIGNED_ATOMIC: 6,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** Kinds of memory access, as the TLB distinguishes them. */
export const Access = { READ: 0, WRITE: 1, EXEC: 2 } as const;
export type Access = (typeof Access)[keyof typeof Access];
