import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Vmf } from "./memory.js";

/** What a mapping of a file does (vm_operations_struct). A VMA without them is anonymous memory. */
export interface VmOps {
  /**
   * Finds the page of a fault: VmFault bits, and without an error, RETRY or NOPAGE among them the page in
   * `vmf.page`, its folio locked and referenced at site "fault". RETRY has dropped the fault's lock.
   */
  fault(k: Kernel, vmf: Vmf): MaySleep<number>;
  /** A read fault also maps what is in memory around it (fault_around_bytes). */
  readonly mapsAround: boolean;
  /** Memory files: a userfaultfd can be told of pages that the file has not, or has and the mapping has not. */
  readonly isShmem?: true;
  /** Pages of a driver are mapped (VM_MIXEDMAP): nobody moves them. */
  readonly isMixedMap?: true;
  /** Nobody else may have its pages (VM_IO): neither a debugger nor GUP. */
  readonly isIo?: true;
  /** Another area is like one of the mapping: by a split, a move, or fork. */
  open?(k: Kernel): MaySleep<void>;
  /** An area of the mapping is gone. One that must be told of it never merges. */
  close?(k: Kernel): MaySleep<void>;
}
