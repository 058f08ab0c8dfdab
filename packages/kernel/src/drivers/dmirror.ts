import { Mutex } from "../kernel/locks.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Mm } from "../mm/mm_types.js";
import type { IntervalNotifier, NotifierRange } from "../mm/mmu_notifier.js";
import { DeviceTable } from "./device_table.js";

/** One test device: /dev/hmm_dmirrorN. */
export class DmirrorDevice {
  constructor(
    readonly id: number,
    readonly name: string,
  ) {}
}

/** One open file of a test device: a mirror of the address space of the process that opened it. */
export class Dmirror {
  /** The device's page table, guarded by `mutex`. */
  readonly table = new DeviceTable();
  readonly mutex: Mutex;
  readonly notifier: IntervalNotifier;

  constructor(
    k: Kernel,
    readonly device: DmirrorDevice,
    readonly mm: Mm,
  ) {
    this.mutex = new Mutex(k.m.locks, "dmirror");
    k.m.mirrors.push(this);
    const invalidate = (kernel: Kernel, range: NotifierRange, seq: number): MaySleep<boolean> =>
      kernel.testHmm.dmirrorIntervalInvalidate(kernel, this, range, seq);
    this.notifier = {
      id: k.m.locks.allocateId(),
      mm,
      startVpn: 0,
      endVpn: 1 << 26,
      invalidateSeq: 0,
      invalidate: (kernel, range, seq) => invalidate(kernel, range, seq),
    };
  }
}
