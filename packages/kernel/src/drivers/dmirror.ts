import { DeviceMirror, type Device, type Kernel, type Mm } from "../driver.js";

/** One open file of a test device: a mirror of the address space of the process that opened it. */
export class Dmirror extends DeviceMirror {
  /** The next allocation that this mirror causes is to fail (HMM_DMIRROR_FLAG_FAIL_ALLOC). */
  failsNextAlloc = false;

  constructor(k: Kernel, device: Device, mm: Mm) {
    super(k, device, mm);
  }
}
