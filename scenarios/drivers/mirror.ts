import {
  DeviceMirror,
  driver,
  Errno,
  HmmPfn,
  hmmRange,
  SWITCH,
  type Device,
  type Driver,
  type Kernel,
  type MaySleep,
  type NotifierRange,
  type OpenFile,
} from "@faultline/kernel/driver";

/** _IOWR('M', n, struct mirror_cmd { __u64 addr; __u64 value; }): a word as the device sees it. */
export const MIRROR_LOAD = 0xc0104d00;
export const MIRROR_STORE = 0xc0104d01;
const COMMAND_BYTES = 16;

/** A device fault: maps a page of the process in the device. 0 or a negated errno. */
export function* mirrorFault(k: Kernel, mirror: DeviceMirror, vpn: number, write: boolean): MaySleep<number> {
  const { mm } = mirror;
  // Of an address space that nobody uses any more, nobody is told anything.
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  const error = yield* readAndMap(k, mirror, vpn, write);
  yield* k.fork.mmput(k, mm);
  return error;
}

/** Reads the CPU's page table, and enters what it says unless that has changed meanwhile. */
function* readAndMap(k: Kernel, mirror: DeviceMirror, vpn: number, write: boolean): MaySleep<number> {
  const { mm, notifier, mutex } = mirror;
  let range = hmmRange(mirror, vpn, vpn + 1, HmmPfn.REQ_FAULT | (write ? HmmPfn.REQ_WRITE : 0));
  for (;;) {
    range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, notifier);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const error = yield* k.hmm.hmmRangeFault(k, range);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (error !== 0 && error !== -Errno.EBUSY) return error;
    if (error === 0) {
      if (!mutex.tryLock()) yield* mutex.lock();
      const stale = yield* k.mmuNotifier.intervalReadRetry(k, notifier, range.notifierSeq);
      // Of memory of the device's own, where its contents are.
      const page = k.deviceMemory.backingPage(k, range.pages[0]!);
      // That is reported as it is, also where more was asked for: read-only, since a fork.
      const shared = write && (range.flags[0]! & HmmPfn.WRITE) === 0;
      if (!stale && !shared) yield* k.device.deviceMap(k, mirror, vpn, { page, write, atomic: false });
      if (!mutex.tryUnlock()) yield* mutex.unlock();
      if (!stale && !shared) return 0;
      // Nobody's own, it comes back to be copied as any other page.
      if (shared) range = { ...range, devPrivateOwner: null };
    }
    if (k.m.retries.again("mirror_fault")) yield SWITCH;
  }
}

/** Something of the range is about to change: the device must not have it any more when this returns. */
export function* mirrorInvalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  // The OOM reaper does not wait for anybody.
  if (!k.mmuNotifier.rangeBlockable(k, range)) {
    if (!(yield* mirror.mutex.trylock())) return false;
  } else if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
  k.mmuNotifier.intervalSetSeq(k, mirror.notifier, seq);
  yield* k.device.deviceInvalidate(k, mirror, range);
  if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
  return true;
}

export function* mirrorOpen(k: Kernel, file: OpenFile, device: Device): MaySleep<number> {
  const { mm } = k.m.current!;
  if (mm === null) return -Errno.EINVAL;
  const mirror = new DeviceMirror(k, device, mm);
  file.data = mirror;
  yield* k.mmuNotifier.intervalInsert(k, mirror.notifier);
  return 0;
}

export function* mirrorRelease(k: Kernel, file: OpenFile): MaySleep<void> {
  const mirror = file.data as DeviceMirror;
  yield* k.mmuNotifier.intervalRemove(k, mirror.notifier);
  mirror.table.clear();
  yield* k.device.mirrorFree(k, mirror);
}

/** What is done in another way in one of the drivers in broken/. */
export interface Parts {
  readonly fault: typeof mirrorFault;
  readonly invalidate: typeof mirrorInvalidate;
  readonly release: typeof mirrorRelease;
}

/** The driver: one device, /dev/mirror0, that loads and stores words through a page table of its own. */
export function mirrorDriver({ fault = mirrorFault, invalidate = mirrorInvalidate, release = mirrorRelease }: Partial<Parts> = {}): Driver {
  /** The device reads a word, or writes `value`: what it has read, 0, or a negated errno. */
  function* access(k: Kernel, file: OpenFile, addr: number, value: number | null): MaySleep<number> {
    const mirror = file.data as DeviceMirror;
    const { mutex } = mirror;
    for (;;) {
      if (!mutex.tryLock()) yield* mutex.lock();
      const entry = yield* k.device.deviceLookup(k, mirror, Math.floor(addr / 4096));
      const granted = entry !== undefined && (entry.write || value === null);
      let result = 0;
      if (granted && value === null) result = yield* k.device.deviceLoad32(k, mirror, addr, entry.page);
      if (granted && value !== null) yield* k.device.deviceStore32(k, mirror, addr, entry.page, value);
      if (!mutex.tryUnlock()) yield* mutex.unlock();
      if (granted) return result;
      const error = yield* fault(k, mirror, Math.floor(addr / 4096), value !== null);
      if (error !== 0) return error;
      if (k.m.retries.again("mirror_access")) yield SWITCH;
    }
  }

  return driver({
    name: "mirror",
    devices: [{ name: "mirror0" }],
    file: {
      open: mirrorOpen,
      release,
      *ioctl(k, file, cmd, arg) {
        if (cmd !== MIRROR_LOAD && cmd !== MIRROR_STORE) return -Errno.ENOTTY;
        const raw = new Uint8Array(COMMAND_BYTES);
        if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
        const command = new DataView(raw.buffer);
        const addr = Number(command.getBigUint64(0, true));
        if (addr % 4 !== 0 || addr >= 2 ** 38) return -Errno.EINVAL;
        const result = yield* access(k, file, addr, cmd === MIRROR_STORE ? command.getUint32(8, true) : null);
        if (result < 0 || cmd === MIRROR_STORE) return result;
        command.setBigUint64(8, BigInt(result), true);
        return (yield* k.uaccess.copyToUser(k, arg, raw)) === 0 ? 0 : -Errno.EFAULT;
      },
    },
    invalidate,
    operations: {
      load32: (k, file, addr) => access(k, file, addr, null),
      store32: (k, file, addr, value) => access(k, file, addr, value),
    },
  });
}

export default mirrorDriver();
