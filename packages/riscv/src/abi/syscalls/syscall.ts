import type { MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import type { Format } from "./format.js";

/** Arguments are the registers a0 to a5 as signed numbers; the result goes to a0. */
export type Handler = (t: GuestThread, args: readonly number[]) => MaySleep<number>;

export interface Syscall {
  readonly name: string;
  /** Null: known, and answered with ENOSYS, which is named in the kernel log. */
  readonly handler: Handler | null;
  readonly args: readonly Format[];
  readonly result: "decimal" | "octal" | "address" | "none";
  /** What of it is not as in Linux, in words; empty when nothing is. */
  readonly limits: string;
}

export type Table = ReadonlyMap<number, Syscall>;

/** One line of the table. */
export function call(name: string, args: readonly Format[], handler: Handler | null, limits = "", result: Syscall["result"] = "decimal"): Syscall {
  return { name, handler, args, result, limits };
}

/** A handler that answers a constant. */
export function constant(value: number): Handler {
  return function* () {
    return value;
  };
}

/** An int argument: the low half of the register. */
export function int(value: number): number {
  return value | 0;
}
