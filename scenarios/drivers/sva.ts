import {
  driver,
  Errno,
  SecondaryTlb,
  SWITCH,
  type Atomic,
  type Device,
  type Driver,
  type Kernel,
  type MaySleep,
  type Mm,
  type MmuNotifier,
  type MmuNotifierOps,
  type OpenFile,
} from "@faultline/kernel/driver";

/** What the driver has for an address space: one subscription, and the TLBs of the files that share it. */
export interface Shared extends MmuNotifier {
  readonly mm: Mm;
  readonly tlbs: SecondaryTlb[];
}

/** An open file. */
interface Bond {
  readonly shared: Shared;
  readonly tlb: SecondaryTlb;
}

/** What is done in another way in one of the drivers in broken/. */
export type Callbacks = Pick<MmuNotifier, "archInvalidateSecondaryTlbs" | "invalidateRangeStart" | "invalidateRangeEnd" | "release">;

/** The entries of a range have changed, and the CPUs' TLBs are flushed: so are the device's. Page-table locks may be held. */
export function* svaInvalidate(this: MmuNotifier, k: Kernel, _mm: Mm, startVpn: number, endVpn: number): Atomic<void> {
  for (const tlb of (this as Shared).tlbs) yield* k.iommuSva.svaFlush(k, tlb, startVpn, endVpn);
}

/** The address space goes away: the device must not walk its page table any more. */
export function* svaRelease(this: MmuNotifier, k: Kernel): MaySleep<void> {
  for (const tlb of (this as Shared).tlbs) yield* k.iommuSva.iommuSvaUnbindDevice(k, tlb);
}

/**
 * A driver that shares the CPU's page table with its device, as IOMMUs do (shared virtual addressing): the hardware walks the table by itself
 * and caches what it finds. An address space has one subscription, however many files there are (mmu_notifier_get()).
 */
export function svaDriver(callbacks: Callbacks = { archInvalidateSecondaryTlbs: svaInvalidate, release: svaRelease }): Driver {
  const ops: MmuNotifierOps = {
    *allocNotifier(_k, mm) {
      yield* [];
      const shared: Shared = { ...callbacks, ops, mm, tlbs: [] };
      return shared;
    },
  };

  function* open(k: Kernel, file: OpenFile, device: Device): MaySleep<number> {
    const { mm } = k.m.current!;
    if (mm === null) return -Errno.EINVAL;
    const shared = yield* k.mmuNotifier.mmuNotifierGet(k, mm, ops);
    if (typeof shared === "number") return shared;
    const tlb = yield* k.iommuSva.iommuSvaBindDevice(k, device, mm);
    (shared as Shared).tlbs.push(tlb);
    file.data = { shared, tlb };
    return 0;
  }

  function* release(k: Kernel, file: OpenFile): MaySleep<void> {
    const { shared, tlb } = file.data as Bond;
    yield* k.iommuSva.iommuSvaUnbindDevice(k, tlb);
    yield* k.mmuNotifier.mmuNotifierPut(k, shared.mm, shared);
    // A callback that is under way may still look at it.
    yield* k.mmuNotifier.mmuNotifierSynchronize(k);
    shared.tlbs.splice(shared.tlbs.indexOf(tlb), 1);
    yield* k.iommuSva.svaFree(k, tlb);
  }

  /** The device reads a word, or writes `value`; what its page table does not grant it asks for first. */
  function* access(k: Kernel, file: OpenFile, addr: number, value: number | null): MaySleep<number> {
    const { tlb } = file.data as Bond;
    for (;;) {
      const result = yield* k.iommuSva.svaAccess32(k, tlb, addr, value);
      if (result >= 0 || !tlb.bound) return result;
      const error = yield* k.iommuSva.iommuSvaHandleMm(k, tlb.mm, Math.floor(addr / 4096), value !== null);
      if (error !== 0) return error;
      if (k.m.retries.again("sva_access")) yield SWITCH;
    }
  }

  return driver({
    name: "sva",
    devices: [{ name: "sva0" }],
    file: { open, release },
    operations: {
      load32: (k, file, addr) => access(k, file, addr, null),
      store32: (k, file, addr, value) => access(k, file, addr, value),
    },
  });
}

export default svaDriver();
