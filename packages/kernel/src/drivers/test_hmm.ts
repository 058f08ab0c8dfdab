/**
 * @linux lib/test_hmm.c
 * @omits Devices are there from boot: no module parameters, and two of coherent memory only where a machine has been
 *   given some.
 * @omits The device's own loads, stores and atomics (`device_load32()` and others) are this model's: the driver has
 *   no engine that would do them.
 * @own deviceAccess32, deviceAtomicAdd32, deviceLoad32, deviceStore32, deviceWrote,
 *   dmirrorCheckExclusive, dmirrorCommand, dmirrorFaultBatch, dmirrorIoctl, dmirrorMakeExclusive, dmirrorMmap, dmirrorOpen,
 *   dmirrorReadMapped, dmirrorRelease, dmirrorSetFlags, dmirrorSnapshotBatch, initTestHmm, snapshotInvalidate
 */
import {
  Device,
  driver,
  Errno,
  Event,
  Gfp,
  GFP_KERNEL,
  HmmPfn,
  MemoryType,
  NO_PAGE,
  NotifyEvent,
  Op,
  PG,
  ptePresent,
  SWITCH,
  tableObject,
  VmFault,
  type DeviceFileOps,
  type EngineOperation,
  type Driver,
  type HmmRange,
  type IntervalNotifier,
  type Kernel,
  type MaySleep,
  type NotifierRange,
  type OpenFile,
  type Vma,
  type VmOps,
} from "../driver.js";
import { Dmirror } from "./dmirror.js";

/** Commands of struct hmm_dmirror_cmd {addr, ptr, npages, cpages, faults}, _IOWR('H', n). */
export enum Dcmd {
  READ = 0xc0284800,
  WRITE = 0xc0284801,
  MIGRATE_TO_DEV = 0xc0284802,
  MIGRATE_TO_SYS = 0xc0284803,
  SNAPSHOT = 0xc0284804,
  EXCLUSIVE = 0xc0284805,
  CHECK_EXCLUSIVE = 0xc0284806,
  RELEASE = 0xc0284807,
  FLAGS = 0xc0284808,
  READ_UNLOCKED = 0xc0284809,
}

/** What FLAGS takes, in `npages`: the next allocation for a migration fails. */
const FLAG_FAIL_ALLOC = 1;

/** What SNAPSHOT says of a page. */
enum Prot {
  ERROR = 0xff,
  NONE = 0x00,
  READ = 0x01,
  WRITE = 0x02,
  PMD = 0x04,
  ZERO = 0x10,
  DEV_PRIVATE_LOCAL = 0x20,
  DEV_COHERENT_LOCAL = 0x40,
  DEV_COHERENT_REMOTE = 0x50,
}

const CMD_BYTES = 40;

/** Pages handled in one go by faults and snapshots. */
const BATCH = 64;
/** Attempts that fail with EBUSY for this long (ns) are given up: a second. */
const RANGE_TIMEOUT_NS = 1_000_000_000;

/** The command as user space passes it; addresses and counts as numbers after validation. */
export interface DmirrorCmd {
  addr: number;
  ptr: number;
  npages: number;
  cpages: number;
  faults: number;
}

const DMIRROR_FOPS: DeviceFileOps = {
  open: (k, file, device) => k.testHmm.dmirrorOpen(k, file, device),
  mmap: (k, _file, vma) => k.testHmm.dmirrorMmap(k, vma),
  ioctl: (k, file, cmd, arg) => k.testHmm.dmirrorIoctl(k, file.data as Dmirror, cmd, arg),
  release: (k, file) => k.testHmm.dmirrorRelease(k, file.data as Dmirror),
};

function operation(act: (k: Kernel, dmirror: Dmirror, addr: number, n: number) => MaySleep<number>): EngineOperation {
  return (k, file, addr = 0, n = 0) => act(k, file.data as Dmirror, addr, n);
}

/** What the device does by itself for one of its files; the last argument is a value, or a number of pages. */
const DMIRROR_OPERATIONS: Readonly<Record<string, EngineOperation>> = {
  load32: operation((k, dmirror, addr) => k.testHmm.deviceLoad32(k, dmirror, addr)),
  store32: operation((k, dmirror, addr, value) => k.testHmm.deviceStore32(k, dmirror, addr, value)),
  atomicAdd32: operation((k, dmirror, addr, value) => k.testHmm.deviceAtomicAdd32(k, dmirror, addr, value)),
  migrateToDevice: operation((k, dmirror, addr, pages) => k.testHmmMemory.moveToDevice(k, dmirror, addr / 4096, pages)),
  migrateToSystem: operation((k, dmirror, addr, npages) => k.testHmmMemory.dmirrorMigrateToSystem(k, dmirror, { addr, ptr: 0, npages, cpages: 0, faults: 0 })),
  *failNextAlloc(_k, file) {
    yield* [];
    (file.data as Dmirror).failsNextAlloc = true;
    return 0;
  },
};

/** The test driver with so many devices: 0 and 1 have device-private memory, all others device-coherent. */
function testHmm(count: number): Driver {
  return driver({
    name: "test_hmm",
    devices: Array.from({ length: count }, (_, i) => ({ name: `hmm_dmirror${i}`, memory: i < 2 ? MemoryType.DEVICE_PRIVATE : MemoryType.DEVICE_COHERENT })),
    file: DMIRROR_FOPS,
    invalidate: (k, mirror, range, seq) => k.testHmm.dmirrorIntervalInvalidate(k, mirror as Dmirror, range, seq),
    memory: { migrateToRam: (k, vmf) => k.testHmmMemory.devmemFault(k, vmf) },
    operations: DMIRROR_OPERATIONS,
    lockClass: "dmirror",
  });
}

/** Registers the test driver with up to `count` devices: device-coherent ones only where there is memory for each. */
export function initTestHmm(k: Kernel, count: number): Device[] {
  const { coherent = 0, chunk = 0 } = k.m.config.deviceMemory ?? {};
  let devices = Math.min(count, 2);
  while (devices < count && coherent >= (devices - 1) * chunk) devices++;
  return k.device.registerDriver(k, testHmm(devices));
}

/** A new mirror of the current task's address space. */
export function* dmirrorOpen(k: Kernel, file: OpenFile, device: Device): MaySleep<number> {
  const { mm } = k.m.current!;
  if (mm === null) return -Errno.EINVAL;
  const dmirror = new Dmirror(k, device, mm);
  file.data = dmirror;
  yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
  return 0;
}

/** What is left in the device's memory, whoever has brought it there, comes back first. */
export function* dmirrorRelease(k: Kernel, dmirror: Dmirror): MaySleep<void> {
  yield* k.testHmmMemory.evictDevice(k, dmirror.device);
  yield* k.mmuNotifier.intervalRemove(k, dmirror.notifier);
  dmirror.table.clear();
  yield* k.device.mirrorFree(k, dmirror);
}

/** The CPU side is about to change: the device's translations of the range go first. */
export function* dmirrorIntervalInvalidate(
  k: Kernel,
  dmirror: Dmirror,
  range: NotifierRange,
  seq: number,
): MaySleep<boolean> {
  // A migration that it does itself: most of the range may be in the device already, or stay where it is.
  const own = range.event === NotifyEvent.MIGRATE && range.owner === dmirror.device && dmirror.migrations > 0;
  if (!k.mmuNotifier.rangeBlockable(k, range)) {
    if (!(yield* dmirror.mutex.trylock())) return false;
  } else if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  k.mmuNotifier.intervalSetSeq(k, dmirror.notifier, seq);
  if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
  k.m.sink?.emit(Event.DeviceInvalidate, dmirror.device.id, range.startVpn, range.endVpn, range.event);
  if (!own) dmirror.table.invalidate(range.startVpn, range.endVpn);
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  return true;
}

/* ioctl */

export function* dmirrorIoctl(k: Kernel, dmirror: Dmirror, cmd: number, arg: number): MaySleep<number> {
  const raw = new Uint8Array(CMD_BYTES);
  if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
  const view = new DataView(raw.buffer);
  const addr = view.getBigUint64(0, true);
  const npages = view.getBigUint64(16, true);
  if ((addr & 0xfffn) !== 0n || addr >= BigInt.asUintN(64, addr + BigInt.asUintN(64, npages << 12n))) {
    return -Errno.EINVAL;
  }
  const c: DmirrorCmd = {
    addr: Number(addr),
    ptr: Number(view.getBigUint64(8, true)),
    npages: Number(BigInt.asUintN(52, npages)),
    cpages: 0,
    faults: 0,
  };
  const error = yield* k.testHmm.dmirrorCommand(k, dmirror, cmd, c);
  if (error !== 0) return error;
  view.setBigUint64(24, BigInt(c.cpages), true);
  view.setBigUint64(32, BigInt(c.faults), true);
  return (yield* k.uaccess.copyToUser(k, arg, raw)) === 0 ? 0 : -Errno.EFAULT;
}

export function* dmirrorCommand(k: Kernel, dmirror: Dmirror, cmd: number, c: DmirrorCmd): MaySleep<number> {
  switch (cmd) {
    case Dcmd.READ:
      return yield* k.testHmm.dmirrorRead(k, dmirror, c);
    case Dcmd.WRITE:
      return yield* k.testHmm.dmirrorWrite(k, dmirror, c);
    case Dcmd.MIGRATE_TO_DEV:
      return yield* k.testHmmMemory.dmirrorMigrateToDevice(k, dmirror, c);
    case Dcmd.MIGRATE_TO_SYS:
      return yield* k.testHmmMemory.dmirrorMigrateToSystem(k, dmirror, c);
    case Dcmd.RELEASE:
      yield* k.testHmmMemory.removeChunks(k, dmirror.device);
      return 0;
    case Dcmd.FLAGS:
      return k.testHmm.dmirrorSetFlags(k, dmirror, c);
    case Dcmd.READ_UNLOCKED:
      return yield* k.testHmm.dmirrorReadUnlocked(k, dmirror, c);
    case Dcmd.SNAPSHOT:
      return yield* k.testHmm.dmirrorSnapshot(k, dmirror, c);
    case Dcmd.EXCLUSIVE:
      return yield* k.testHmm.dmirrorExclusive(k, dmirror, c);
    case Dcmd.CHECK_EXCLUSIVE:
      return yield* k.testHmm.dmirrorCheckExclusive(k, dmirror, c);
    default:
      k.m.dmesg.printOnce(`test_hmm: ioctl 0x${cmd.toString(16)} is not one that this driver has`);
      return -Errno.EINVAL;
  }
}

export function dmirrorSetFlags(_k: Kernel, dmirror: Dmirror, c: DmirrorCmd): number {
  dmirror.failsNextAlloc = (c.npages & FLAG_FAIL_ALLOC) !== 0;
  return 0;
}

const DMIRROR_VM_OPS: VmOps = {
  // All there is was mapped when the mapping was made.
  *fault(): MaySleep<number> {
    return VmFault.SIGBUS;
  },
  mapsAround: false,
  isMixedMap: true,
};

/** mmap() of a device: pages of zeros, mapped at once (vm_insert_page()). */
export function* dmirrorMmap(k: Kernel, vma: Vma): MaySleep<number> {
  vma.ops = DMIRROR_VM_OPS;
  for (let vpn = vma.startVpn; vpn < vma.endVpn; vpn++) {
    const page = yield* k.pageAlloc.allocPage(k, GFP_KERNEL | Gfp.ZERO);
    if (page === NO_PAGE) return -Errno.ENOMEM;
    const error = yield* k.memory.vmInsertPage(k, vma, vpn, page);
    yield* k.swap.folioPut(k, page, "alloc");
    if (error !== 0) return error;
  }
  return 0;
}

/**
 * A kernel buffer for a whole command, a frame for each page of it; null when memory is out. It
 * takes memory from the machine like anything else, so a large command may cause reclaim.
 */
function* bounceInit(k: Kernel, c: DmirrorCmd): MaySleep<number[] | null> {
  if (c.npages > k.m.zones.totalPages()) return null;
  const frames: number[] = [];
  while (frames.length < c.npages) {
    const frame = yield* k.pageAlloc.allocPage(k, GFP_KERNEL);
    if (frame === NO_PAGE) {
      yield* bounceFini(k, frames);
      return null;
    }
    frames.push(frame);
  }
  return frames;
}

function* bounceFini(k: Kernel, frames: readonly number[]): MaySleep<void> {
  for (const frame of frames) yield* k.swap.folioPut(k, frame, "alloc");
}

/** Copies a buffer to user memory, and frees it. */
function* bounceToUser(k: Kernel, addr: number, frames: readonly number[]): MaySleep<number> {
  let error = 0;
  for (let i = 0; i < frames.length && error === 0; i++) {
    error = yield* k.uaccess.copyToUser(k, addr + i * 4096, k.m.ram.frame(frames[i]!));
  }
  yield* bounceFini(k, frames);
  return error;
}

/**
 * READ: copies a range through the mirror to `ptr`, faulting in what the mirror lacks. With `unlocked` (READ_UNLOCKED)
 * faults may drop mmap_lock, as those must that a userfaultfd is told of.
 */
export function* dmirrorRead(k: Kernel, dmirror: Dmirror, c: DmirrorCmd, unlocked = false): MaySleep<number> {
  const buffer = yield* bounceInit(k, c);
  if (buffer === null) return -Errno.ENOMEM;
  const start = c.addr / 4096;
  for (;;) {
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    const result = yield* k.testHmm.dmirrorDoRead(k, dmirror, start, c, buffer);
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
    if (result === 0) return yield* bounceToUser(k, c.ptr, buffer);
    const error = yield* k.testHmm.dmirrorFault(k, dmirror, start + c.cpages, start + c.npages, false, unlocked);
    if (error !== 0) {
      yield* bounceFini(k, buffer);
      return error;
    }
    c.faults++;
    if (k.m.retries.again("dmirror_read")) yield SWITCH;
  }
}

/** READ_UNLOCKED: READ, in which faults may drop mmap_lock. */
export function* dmirrorReadUnlocked(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  return yield* k.testHmm.dmirrorRead(k, dmirror, c, true);
}

/** Copies from where `cpages` stands; -ENOENT at a page that the mirror does not have. */
export function* dmirrorDoRead(
  k: Kernel,
  dmirror: Dmirror,
  start: number,
  c: DmirrorCmd,
  into: readonly number[],
): MaySleep<number> {
  const { m } = k;
  for (; c.cpages < c.npages; c.cpages++) {
    const vpn = start + c.cpages;
    if (m.point(Op.DeviceLookup, dmirror.notifier.id)) yield SWITCH;
    const entry = dmirror.table.get(vpn);
    if (entry === undefined) return -Errno.ENOENT;
    m.touches(Op.DeviceRead, entry.page);
    m.sink?.emit(Event.DeviceAccess, dmirror.device.id, vpn, entry.page, 0);
    m.ram.copy(into[c.cpages]!, entry.page);
  }
  return 0;
}

/** WRITE: copies `ptr` to a range through the mirror. */
export function* dmirrorWrite(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const buffer = yield* bounceInit(k, c);
  if (buffer === null) return -Errno.ENOMEM;
  const start = c.addr / 4096;
  let error = 0;
  for (let i = 0; i < c.npages && error === 0; i++) {
    error = yield* k.uaccess.copyFromUser(k, c.ptr + i * 4096, k.m.ram.frame(buffer[i]!));
  }
  while (error === 0) {
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    const result = yield* k.testHmm.dmirrorDoWrite(k, dmirror, start, c, buffer);
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
    if (result === 0) break;
    error = yield* k.testHmm.dmirrorFault(k, dmirror, start + c.cpages, start + c.npages, true);
    if (error === 0) c.faults++;
    if (k.m.retries.again("dmirror_write")) yield SWITCH;
  }
  yield* bounceFini(k, buffer);
  return error;
}

export function* dmirrorDoWrite(
  k: Kernel,
  dmirror: Dmirror,
  start: number,
  c: DmirrorCmd,
  from: readonly number[],
): MaySleep<number> {
  const { m } = k;
  for (; c.cpages < c.npages; c.cpages++) {
    const vpn = start + c.cpages;
    if (m.point(Op.DeviceLookup, dmirror.notifier.id)) yield SWITCH;
    const entry = dmirror.table.get(vpn);
    // An atomic mapping is no writable one: a plain write gives exclusive access up.
    if (entry === undefined || !entry.write) return -Errno.ENOENT;
    m.touches(Op.DeviceWrite, entry.page);
    m.sink?.emit(Event.DeviceAccess, dmirror.device.id, vpn, entry.page, 1);
    m.ram.copy(entry.page, from[c.cpages]!);
    k.testHmm.deviceWrote(k, entry.page);
  }
  return 0;
}

/** Mirrors a range for reading or writing, batch by batch. -EFAULT where nobody uses the address space any more. */
export function* dmirrorFault(
  k: Kernel,
  dmirror: Dmirror,
  startVpn: number,
  endVpn: number,
  write: boolean,
  unlocked = false,
): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, dmirror.mm))) return -Errno.EFAULT;
  let error = 0;
  for (let vpn = startVpn; vpn < endVpn && error === 0; vpn += BATCH) {
    error = yield* k.testHmm.dmirrorFaultBatch(k, dmirror, vpn, Math.min(BATCH, endVpn - vpn), write, unlocked);
  }
  // The process may have ended meanwhile: then its address space ends here.
  yield* k.fork.mmput(k, dmirror.mm);
  return error;
}

export function* dmirrorFaultBatch(k: Kernel, dmirror: Dmirror, vpn: number, n: number, write: boolean, unlocked: boolean): MaySleep<number> {
  const range: HmmRange = {
    mm: dmirror.mm,
    notifier: dmirror.notifier,
    notifierSeq: 0,
    startVpn: vpn,
    endVpn: vpn + n,
    flags: new Uint8Array(n),
    pages: new Int32Array(n),
    defaultFlags: HmmPfn.REQ_FAULT | (write ? HmmPfn.REQ_WRITE : 0),
    pfnFlagsMask: 0,
    devPrivateOwner: dmirror.device,
    unlocked,
  };
  let denied = false;
  const error = yield* k.testHmm.dmirrorRangeFault(k, dmirror, range, (i) => {
    const flags = range.flags[i]!;
    if ((flags & HmmPfn.VALID) === 0 || denied) return;
    // Its own memory is reported as it is, whatever was asked for.
    denied = write && (flags & HmmPfn.WRITE) === 0;
    if (denied) return;
    dmirror.table.set(vpn + i, { page: k.deviceMemory.backingPage(k, range.pages[i]!), write, atomic: false });
  });
  return error === 0 && denied ? -Errno.EFAULT : error;
}

/**
 * Asks `hmmRangeFault` until nothing was invalidated while it read; then, with the mutex that the
 * invalidation takes still held, calls `use` for each page.
 */
export function* dmirrorRangeFault(
  k: Kernel,
  dmirror: Dmirror,
  range: HmmRange,
  use: (index: number) => void,
): MaySleep<number> {
  const { mm } = dmirror;
  const deadline = k.m.now() + RANGE_TIMEOUT_NS;
  for (;;) {
    if (k.m.now() > deadline) return -Errno.EBUSY;
    range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, range.notifier);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const error = yield* k.hmm.hmmRangeFault(k, range);
    // A fault has dropped it.
    if (error === -Errno.EAGAIN) {
      if (k.m.signals.fatalPending(k.m.current!)) return -Errno.EINTR;
      if (k.m.retries.again("dmirror_range_fault")) yield SWITCH;
      continue;
    }
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (error === -Errno.EBUSY) {
      if (k.m.retries.again("dmirror_range_fault")) yield SWITCH;
      continue;
    }
    if (error !== 0) return error;
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    const stale = yield* k.mmuNotifier.intervalReadRetry(k, range.notifier, range.notifierSeq);
    if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
    if (!stale) for (let i = 0; i < range.endVpn - range.startVpn; i++) use(i);
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
    if (!stale) return 0;
    if (k.m.retries.again("dmirror_range_fault")) yield SWITCH;
  }
}

/** SNAPSHOT: what the CPU's tables have for each page, a byte each, without faulting anything. */
export function* dmirrorSnapshot(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const start = c.addr / 4096;
  if (!(yield* k.fork.mmgetNotZero(k, dmirror.mm))) return -Errno.EINVAL;
  let error = 0;
  for (let vpn = start; vpn < start + c.npages && error === 0; vpn += BATCH) {
    const perms = new Uint8Array(Math.min(BATCH, start + c.npages - vpn));
    error = yield* k.testHmm.dmirrorSnapshotBatch(k, dmirror, vpn, perms);
    if (error !== 0) break;
    if ((yield* k.uaccess.copyToUser(k, c.ptr + (vpn - start), perms)) !== 0) error = -Errno.EFAULT;
    else c.cpages += perms.length;
  }
  yield* k.fork.mmput(k, dmirror.mm);
  return error;
}

export function* dmirrorSnapshotBatch(k: Kernel, dmirror: Dmirror, vpn: number, perms: Uint8Array): MaySleep<number> {
  const n = perms.length;
  // A subscription of its own: one that drops nothing, since a snapshot caches nothing.
  const notifier: IntervalNotifier = {
    id: k.m.locks.allocateId(),
    mm: dmirror.mm,
    startVpn: vpn,
    endVpn: vpn + n,
    invalidateSeq: 0,
    invalidate: (kernel, _range, seq) => kernel.testHmm.snapshotInvalidate(kernel, dmirror, notifier, seq),
  };
  const range: HmmRange = {
    mm: dmirror.mm,
    notifier,
    notifierSeq: 0,
    startVpn: vpn,
    endVpn: vpn + n,
    flags: new Uint8Array(n),
    pages: new Int32Array(n),
    defaultFlags: 0,
    pfnFlagsMask: 0,
    devPrivateOwner: dmirror.device,
    unlocked: false,
  };
  yield* k.mmuNotifier.intervalInsert(k, notifier);
  const error = yield* k.testHmm.dmirrorRangeFault(k, dmirror, range, (i) => {
    perms[i] = snapshotByte(k, dmirror.device, range.flags[i]!, range.pages[i]!);
  });
  yield* k.mmuNotifier.intervalRemove(k, notifier);
  return error;
}

export function* snapshotInvalidate(
  k: Kernel,
  dmirror: Dmirror,
  notifier: IntervalNotifier,
  seq: number,
): MaySleep<boolean> {
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  if (k.m.point(Op.NotifierSeqSet, notifier.id)) yield SWITCH;
  k.mmuNotifier.intervalSetSeq(k, notifier, seq);
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  return true;
}

function snapshotByte(k: Kernel, device: Device, flags: number, page: number): number {
  const { memmap, pgmaps } = k.m;
  if ((flags & HmmPfn.ERROR) !== 0) return Prot.ERROR;
  if ((flags & HmmPfn.VALID) === 0) return Prot.NONE;
  let where = 0;
  if (memmap.isDevicePrivate(page)) where = Prot.DEV_PRIVATE_LOCAL;
  else if (memmap.isDeviceCoherent(page)) where = pgmaps.of(page)!.owner === device ? Prot.DEV_COHERENT_LOCAL : Prot.DEV_COHERENT_REMOTE;
  const zero = k.hmm.isZeroPage(k, page) ? Prot.ZERO : 0;
  const pmd = (flags & HmmPfn.PMD) !== 0 ? Prot.PMD : 0;
  return where | zero | pmd | ((flags & HmmPfn.WRITE) !== 0 ? Prot.WRITE : Prot.READ);
}

/** EXCLUSIVE: makes a range of anonymous memory exclusive to the device and copies it to `ptr`. */
export function* dmirrorExclusive(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const { mm } = dmirror;
  const start = c.addr / 4096;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EINVAL;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const error = yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, start, start + c.npages);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  if (error !== 0) return error;
  return yield* k.testHmm.dmirrorReadMapped(k, dmirror, c);
}

/** Copies a range that the device has translations for to `ptr`; ENOENT at the first page for which it has none. */
export function* dmirrorReadMapped(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const start = c.addr / 4096;
  const buffer = yield* bounceInit(k, c);
  if (buffer === null) return -Errno.ENOMEM;
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  const read = yield* k.testHmm.dmirrorDoRead(k, dmirror, start, c, buffer);
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  if (read === 0) return yield* bounceToUser(k, c.ptr, buffer);
  yield* bounceFini(k, buffer);
  return read;
}

/** Page by page: take it, map it in the device while its folio is locked, let it go. */
export function* dmirrorMakeExclusive(k: Kernel, dmirror: Dmirror, startVpn: number, endVpn: number): MaySleep<number> {
  for (let vpn = startVpn; vpn < endVpn; ) {
    const taken = yield* k.rmap.makeDeviceExclusive(k, dmirror.mm, vpn, dmirror.device);
    if (typeof taken === "number") return taken;
    const mapped = yield* k.testHmm.dmirrorAtomicMap(k, dmirror, vpn, taken.page);
    yield* k.folioLock.folioUnlock(k, taken.folio);
    yield* k.swap.folioPut(k, taken.folio, "exclusive");
    if (mapped) vpn++;
    else {
      // Not with the folio locked: who invalidates may wait for it.
      yield* k.mmuNotifier.intervalReadBegin(k, dmirror.notifier);
      if (k.m.retries.again("dmirror_exclusive")) yield SWITCH;
    }
  }
  return 0;
}

/**
 * Enters a page for atomic operations into the device's table; false when it is not exclusive any
 * more, and while something is being invalidated: who does that may wait for the folio. The folio
 * lock, which the caller holds, keeps CPU faults away, but not MADV_DONTNEED: one that has told the
 * device already, and has not cleared the entry yet, would leave the device with a page that is
 * gone. So the entry is read as any other is, between begin and retry. While the lock is held, one
 * that is for the page still is the exclusive one.
 */
export function* dmirrorAtomicMap(k: Kernel, dmirror: Dmirror, vpn: number, page: number): MaySleep<boolean> {
  const { m } = k;
  const seq = yield* k.mmuNotifier.intervalTryReadBegin(k, dmirror.notifier);
  if (seq === null) return false;
  if (m.point(Op.TableRead, tableObject(dmirror.mm.id, vpn))) yield SWITCH;
  const ptep = m.pt.lookup(dmirror.mm.pgd, vpn);
  m.touches(Op.PteRead, ptep);
  const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
  const mapped = (ptePresent(flags) || k.swapops.isDeviceExclusive(k, flags)) && m.memmap.pfnToPage(m.pt.pfn(ptep)) === page;
  if (!mapped) return false;
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  const stale = yield* k.mmuNotifier.intervalReadRetry(k, dmirror.notifier, seq);
  if (m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
  if (!stale) dmirror.table.set(vpn, { page, write: false, atomic: true });
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  return !stale;
}

/** CHECK_EXCLUSIVE: 0 when no page of the range is exclusive to this file any more, else -EPERM. */
export function* dmirrorCheckExclusive(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const start = c.addr / 4096;
  let result = 0;
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  if (k.m.point(Op.DeviceLookup, dmirror.notifier.id)) yield SWITCH;
  for (const [vpn, entry] of dmirror.table) {
    if (entry.atomic && vpn >= start && vpn < start + c.npages) result = -Errno.EPERM;
  }
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  return result;
}

/** A device has no dirty bit in the CPU's table: the driver says that the page was written. */
export function deviceWrote(k: Kernel, page: number): void {
  const folio = k.m.memmap.folioOf(page);
  k.m.touches(Op.PageFlags, folio);
  k.m.memmap.set(folio, PG.dirty);
}

/* What the device's engine does by itself. */

/** A load by the device of an aligned 32-bit word through its mirror; a negated errno where there can be none. */
export function* deviceLoad32(k: Kernel, dmirror: Dmirror, addr: number): MaySleep<number> {
  return yield* k.testHmm.deviceAccess32(k, dmirror, addr, null);
}

/** A store by the device of an aligned 32-bit word through its mirror: 0 or a negated errno. */
export function* deviceStore32(k: Kernel, dmirror: Dmirror, addr: number, value: number): MaySleep<number> {
  return yield* k.testHmm.deviceAccess32(k, dmirror, addr, value);
}

/** A load (`value` is null) or a store, with a device fault first where the mirror does not grant it. */
export function* deviceAccess32(k: Kernel, dmirror: Dmirror, addr: number, value: number | null): MaySleep<number> {
  const { m } = k;
  const vpn = Math.floor(addr / 4096);
  const write = value !== null;
  for (;;) {
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    if (m.point(Op.DeviceLookup, dmirror.notifier.id)) yield SWITCH;
    const entry = dmirror.table.get(vpn);
    if (entry !== undefined && (entry.write || !write)) {
      // What the device has looked up it uses, whatever happens to its table meanwhile.
      if (m.point(write ? Op.DeviceWrite : Op.DeviceRead, entry.page)) yield SWITCH;
      m.sink?.emit(Event.DeviceAccess, dmirror.device.id, vpn, entry.page, write ? 1 : 0);
      const word = (entry.page << 10) + ((addr % 4096) >> 2);
      let result = 0;
      if (write) {
        m.ram.words[word] = value;
        k.testHmm.deviceWrote(k, entry.page);
      } else result = m.ram.words[word]! >>> 0;
      if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
      return result;
    }
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
    const error = yield* k.testHmm.dmirrorFault(k, dmirror, vpn, vpn + 1, write);
    if (error !== 0) return error;
    if (m.retries.again("device_access")) yield SWITCH;
  }
}

/**
 * An atomic addition by the device to an aligned 32-bit word, taking exclusive access where the
 * device does not have it. Returns the old value, or a negated errno. The mutex stands for the
 * device's MMU: an invalidation waits for the operation that is under way.
 */
export function* deviceAtomicAdd32(k: Kernel, dmirror: Dmirror, addr: number, value: number): MaySleep<number> {
  const { m } = k;
  const { mm } = dmirror;
  const vpn = Math.floor(addr / 4096);
  for (;;) {
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    if (m.point(Op.DeviceLookup, dmirror.notifier.id)) yield SWITCH;
    const entry = dmirror.table.get(vpn);
    if (entry?.atomic) {
      m.touches(Op.DeviceRead, entry.page);
      const word = (entry.page << 10) + ((addr % 4096) >> 2);
      m.sink?.emit(Event.DeviceAccess, dmirror.device.id, vpn, entry.page, 0);
      const old = m.ram.words[word]! >>> 0;
      // Two accesses: nothing but exclusive access makes them one.
      if (m.point(Op.DeviceWrite, entry.page)) yield SWITCH;
      m.touches(Op.DeviceWrite, entry.page);
      m.sink?.emit(Event.DeviceAccess, dmirror.device.id, vpn, entry.page, 1);
      m.ram.words[word] = old + value;
      k.testHmm.deviceWrote(k, entry.page);
      if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
      return old;
    }
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
    if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const error = yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, vpn, vpn + 1);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    yield* k.fork.mmput(k, mm);
    if (error !== 0) return error;
    if (m.retries.again("device_atomic")) yield SWITCH;
  }
}
