import { Mutex, SpinLock } from "../kernel/locks.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import { MemoryType, type DevPagemap } from "../mm/dev_pagemap.js";
import type { Mm } from "../mm/mm_types.js";
import type { IntervalNotifier, NotifierRange } from "../mm/mmu_notifier.js";
import { DeviceTable } from "./device_table.js";

/** One test device: /dev/hmm_dmirrorN. */
export class DmirrorDevice {
  /** Its memory, a chunk at a time, as it is needed. */
  readonly chunks: DevPagemap[] = [];
  /** Pages of the chunks that nobody uses: single ones, and the first ones of what is 2 MiB in one piece. Guarded by `lock`. */
  readonly freePages: number[] = [];
  readonly freeFolios: number[] = [];
  readonly lock: SpinLock;
  /** Held by who adds a chunk. */
  readonly chunkLock: Mutex;

  constructor(
    k: Kernel,
    readonly id: number,
    readonly name: string,
    readonly type: MemoryType,
    /** Pages of a chunk. */
    readonly chunkPages: number,
  ) {
    this.lock = new SpinLock(k.m.locks, "dmirror_memory");
    this.chunkLock = new Mutex(k.m.locks, "dmirror_chunks");
  }
}

/** Chunks that device-coherent devices have room for each; the memory is where it is. */
const COHERENT_CHUNKS_MAX = 1;

/** How many chunks of memory a device may have. */
export function chunksMax({ type }: DmirrorDevice): number {
  return type === MemoryType.DEVICE_COHERENT ? COHERENT_CHUNKS_MAX : Infinity;
}

/** One open file of a test device: a mirror of the address space of the process that opened it. */
export class Dmirror {
  /** The device's page table, guarded by `mutex`. */
  readonly table = new DeviceTable();
  readonly mutex: Mutex;
  readonly notifier: IntervalNotifier;
  /** How many migrations it is doing: their invalidations drop nothing, it does so itself for what moves. */
  migrations = 0;
  /** The next allocation that this mirror causes is to fail (HMM_DMIRROR_FLAG_FAIL_ALLOC). */
  failsNextAlloc = false;

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
