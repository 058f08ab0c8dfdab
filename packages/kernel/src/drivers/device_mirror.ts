import { Mutex } from "../kernel/locks.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { HmmRange } from "../mm/hmm.js";
import type { Mm } from "../mm/mm_types.js";
import type { IntervalNotifier, NotifierRange } from "../mm/mmu_notifier.js";
import { lockClassOf, type Device } from "./device.js";
import { DeviceTable } from "./device_table.js";

/** Called before entries of a mirrored range change (mmu_interval_notifier_ops.invalidate): see `IntervalNotifier`. */
export type Invalidate = (k: Kernel, range: NotifierRange, seq: number) => MaySleep<boolean>;

/** User addresses end here, in pages: a mirror of all of them. */
const USER_PAGES = 1 << 26;

export interface MirrorSettings<T> {
  /** What else the driver keeps for the mirror: plain data, guarded by the mirror's mutex. */
  readonly data?: T;
  /** [startVpn, endVpn) of the address space; all of it unless given. */
  readonly startVpn?: number;
  readonly endVpn?: number;
  /** Instead of the driver's own `invalidate`. */
  readonly invalidate?: Invalidate;
}

/** A request to `k.hmm.hmmRangeFault` for [startVpn, endVpn) of a mirror's address space; `flags` of `HmmPfn.REQ_…` for each page. @throws RangeError for no range */
export function hmmRange({ mm, notifier, device }: DeviceMirror, startVpn: number, endVpn: number, flags: number): HmmRange {
  const n = endVpn - startVpn;
  if (!Number.isInteger(startVpn) || !Number.isInteger(n) || n <= 0) throw new RangeError(`a range for hmm_range_fault() from page ${startVpn} to page ${endVpn}`);
  return {
    mm,
    notifier,
    notifierSeq: 0,
    startVpn,
    endVpn,
    flags: new Uint8Array(n),
    pages: new Int32Array(n),
    defaultFlags: flags,
    pfnFlagsMask: 0,
    devPrivateOwner: device,
    unlocked: false,
  };
}

/**
 * What a device maps of one address space: the device's page table, the lock that guards it, and the interval notifier
 * by which the kernel says what is going to change. It is subscribed by `k.mmuNotifier.intervalInsert(k, mirror.notifier)`,
 * and given back by `intervalRemove` and `k.device.mirrorFree`.
 */
export class DeviceMirror<T = unknown> {
  /** The device's page table, guarded by `mutex`. */
  readonly table: DeviceTable;
  readonly mutex: Mutex;
  readonly notifier: IntervalNotifier;
  /**
   * How many migrations it is doing itself: while there are any, its callback may ignore invalidations whose `owner` is
   * the device. Guarded by `mutex`.
   */
  migrations = 0;
  /** The driver's own. */
  data: T;

  /** @throws RangeError where the driver has no callback for it */
  constructor(
    k: Kernel,
    readonly device: Device,
    readonly mm: Mm,
    { data, startVpn = 0, endVpn = USER_PAGES, invalidate }: MirrorSettings<T> = {},
  ) {
    if (invalidate === undefined && device.driver.invalidate === undefined) throw new RangeError(`driver ${device.driver.name} has a mirror and no invalidate(), by which it would hear of what changes`);
    const id = k.m.locks.allocateId();
    this.data = data as T;
    this.table = new DeviceTable(k.m, id);
    this.mutex = new Mutex(k.m.locks, lockClassOf(device.driver));
    const { driver } = device;
    this.notifier = {
      id,
      mm,
      startVpn,
      endVpn,
      invalidateSeq: 0,
      invalidate: invalidate ?? ((kernel, range, seq) => driver.invalidate!(kernel, this, range, seq)),
    };
    k.m.mirrors.push(this);
  }
}
