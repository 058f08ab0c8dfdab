/**
 * @linux drivers/char/misc.c
 * @own createDevice, deviceInvalidate, deviceIoctl, deviceLoad32, deviceLookup, deviceMap, deviceRelease, deviceStore32,
 *   deviceUnmap, engineThread, loadDriver, mirrorFree, openDevice, opened, queueJob, registerDriver, waitJob
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { makedev, OpenFile, type CharDevice, type FileOps, type Inode } from "../fs/vfs.js";
import { MemoryType } from "../mm/dev_pagemap.js";
import type { NotifierRange } from "../mm/mmu_notifier.js";
import { PG } from "../mm/page.js";
import { Event } from "../trace.js";
import { Device, DriverError, instrumentDriver, lockClassOf, type DeviceSettings, type Driver } from "./device.js";
import { DeviceEngine, type EngineJob } from "./device_engine.js";
import { DevicePool } from "./device_memory.js";
import type { DeviceMirror } from "./device_mirror.js";
import { IommuDomain } from "./iommu.js";
import type { DeviceEntry } from "./device_table.js";

export { engineThread } from "./device_engine.js";

/* Registration: boot, nothing runs yet. */

/** For local and experimental use, by the list of device numbers: a driver takes the next one. */
const FIRST_MAJOR = 240;

/**
 * Makes a driver's devices, with their nodes in /dev where the machine has files, and starts their engines.
 * @throws RangeError for a name that another device has
 */
export function registerDriver(k: Kernel, driver: Driver): Device[] {
  const { m } = k;
  const { devices: settings } = driver;
  for (const { name } of settings) if (m.devices.some((other) => other.name === name)) throw new RangeError(`there is a device ${name} already`);
  const major = FIRST_MAJOR + new Set(m.devices.map((device) => device.driver)).size;
  const devices = settings.map((each, minor) => k.device.createDevice(k, new Device(k, driver, each.name, minor), each));
  for (const [minor, device] of devices.entries()) k.m.vfs?.registerDevice(nodeOf(device, makedev(major, minor), settings[minor]!.mode));
  if (driver.debugfs !== undefined) k.m.vfs?.registerDebugfs(driver.name, driver.debugfs);
  return devices;
}

/**
 * Registers a driver that is no part of the kernel (a module): its functions are traced like the kernel's, as "NAME_open".
 * @throws RangeError for a name that another device has
 */
export function loadDriver(k: Kernel, driver: Driver): Device[] {
  const { ftrace } = k.m;
  return k.device.registerDriver(k, ftrace === null ? driver : instrumentDriver(driver, (functions) => ftrace.follow(functions)));
}

/**
 * Gives a device what its driver has for it: memory, an engine.
 * @throws RangeError for device-private memory from which nothing comes back (memremap_pages() refuses it)
 */
export function createDevice(k: Kernel, device: Device, { memory, iommu }: DeviceSettings): Device {
  const { driver } = device;
  if (iommu === true) device.iommu = new IommuDomain();
  if (memory !== undefined) {
    const { folioFree, folioSplit, migrateToRam } = driver.memory ?? {};
    if (memory === MemoryType.DEVICE_PRIVATE && migrateToRam === undefined) throw new RangeError(`the memory of device ${device.name} is device-private: its driver must have memory.migrateToRam, which brings a page back for a CPU`);
    device.memory = new DevicePool(
      k,
      memory,
      {
        folioFree: folioFree ?? ((kernel, folio, pages) => kernel.deviceMemory.deviceFolioFree(kernel, folio, pages)),
        folioSplit: folioSplit ?? ((kernel, original, folio) => kernel.deviceMemory.deviceFolioSplit(kernel, original, folio)),
        ...(memory === MemoryType.DEVICE_PRIVATE && migrateToRam !== undefined ? { migrateToRam: (kernel, vmf) => faultResult(driver, migrateToRam(kernel, vmf)) } : {}),
      },
      k.m.config.deviceMemory?.chunk ?? 0,
      lockClassOf(driver),
    );
  }
  if (driver.execute !== undefined) {
    device.executor = k.m.sched.addExecutor(device.name, true, 1);
    device.engine = new DeviceEngine(k, device, device.executor);
  }
  return device;
}

/** @throws DriverError for what is no result of a fault, an errno for instance */
function* faultResult({ name }: Driver, body: MaySleep<number>): MaySleep<number> {
  const result = yield* body;
  if (!Number.isInteger(result) || result < 0) throw new DriverError(name, `memory.migrateToRam() of driver ${name} returned ${result}: it must be VmFault bits, or 0`);
  return result;
}

function nodeOf(device: Device, rdev: number, mode?: number): CharDevice {
  const { open, ...ops } = device.driver.file;
  return {
    name: device.name,
    rdev,
    ...(mode === undefined ? {} : { mode }),
    ops: { ...ops, release: (k, file) => k.device.deviceRelease(k, file, device) },
    *open(k, file) {
      yield* k.device.opened(k, device, 1);
      let error = open === undefined ? 0 : yield* open(k, file, device);
      if (error > 0) {
        k.m.dmesg.printOnce(`WARNING: do_dentry_open: open() of driver ${device.driver.name} has returned ${error}`);
        error = -Errno.EINVAL;
      }
      if (error !== 0) yield* k.device.opened(k, device, -1);
      return error;
    },
  };
}

/* Files. */

/** One more open file of a device, or (-1) one less. */
export function* opened(k: Kernel, device: Device, n: 1 | -1): Atomic<void> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  device.opened += n;
  if (n < 0) k.m.sink?.emit(Event.DeviceClose, device.id, device.opened, 0, 0);
}

/** The last reference to an open file of a device is gone. */
export function* deviceRelease(k: Kernel, file: OpenFile, device: Device): MaySleep<void> {
  yield* device.driver.file.release?.(k, file) ?? [];
  yield* k.device.opened(k, device, -1);
}

/** Opens a device on a machine that need not have files: an open file, or a negated errno. `fput` closes it. */
export function* openDevice(k: Kernel, device: Device, flags: number): MaySleep<OpenFile | number> {
  const node = nodeOf(device, 0);
  const inode: Inode = { ino: device.id + 1, kind: "char", mode: node.mode ?? 0o600, rdev: 0, size: 0 };
  const file = new OpenFile(`/dev/${device.name}`, inode, node.ops, flags);
  const error = yield* node.open!(k, file);
  return error === 0 ? file : error;
}

/** ioctl(2) of an open file: -ENOTTY where its driver has none. */
export function* deviceIoctl(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number> {
  const { ioctl }: FileOps = file.ops;
  return ioctl === undefined ? -Errno.ENOTTY : yield* ioctl(k, file, cmd, arg);
}

/*
 * The device's own page table. The mirror's mutex is held, but for `deviceLookup`, which the device does by itself. All but `mirrorFree` throw
 * RangeError for a mirror that has been given up.
 */

function assertLive({ m }: Kernel, mirror: DeviceMirror, what: string): void {
  if (!m.mirrors.includes(mirror)) throw new RangeError(`the table of ${mirror.device.name} is ${what} after its driver has given the mirror up: use after free`);
}

/** The device looks a page number up in its table. */
export function* deviceLookup(k: Kernel, mirror: DeviceMirror, vpn: number): Atomic<DeviceEntry | undefined> {
  if (k.m.point(Op.DeviceLookup, mirror.notifier.id)) yield SWITCH;
  assertLive(k, mirror, "read");
  return mirror.table.get(vpn);
}

/** Enters a translation. Not before `intervalReadRetry` has said, under the mirror's mutex, that what it is made of still holds. */
export function* deviceMap(k: Kernel, mirror: DeviceMirror, vpn: number, entry: DeviceEntry): Atomic<void> {
  if (k.m.point(Op.DeviceTable, mirror.notifier.id)) yield SWITCH;
  assertLive(k, mirror, "changed");
  mirror.table.set(vpn, entry);
}

/** Drops the translations of [startVpn, endVpn). */
export function* deviceUnmap(k: Kernel, mirror: DeviceMirror, startVpn: number, endVpn: number): Atomic<void> {
  if (k.m.point(Op.DeviceTable, mirror.notifier.id)) yield SWITCH;
  assertLive(k, mirror, "changed");
  mirror.table.invalidate(startVpn, endVpn);
}

/** Drops what an invalidate callback is told of. */
export function* deviceInvalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange): Atomic<void> {
  if (k.m.point(Op.DeviceTable, mirror.notifier.id)) yield SWITCH;
  assertLive(k, mirror, "changed");
  k.m.sink?.emit(Event.DeviceInvalidate, mirror.device.id, range.startVpn, range.endVpn, range.event);
  mirror.table.invalidate(range.startVpn, range.endVpn);
}

/**
 * A mirror is used no more: nobody is subscribed for it, and nothing may be in its table.
 * @throws RangeError for one that was given up before
 */
export function* mirrorFree(k: Kernel, mirror: DeviceMirror): Atomic<void> {
  const { mirrors } = k.m;
  if (k.m.point(Op.DeviceTable, mirror.notifier.id)) yield SWITCH;
  const at = mirrors.indexOf(mirror);
  if (at < 0) throw new RangeError(`a mirror of ${mirror.device.name} is given up for the second time`);
  k.m.sink?.emit(Event.MirrorFree, mirror.notifier.id, 0, 0, 0);
  mirrors.splice(at, 1);
}

/* The device reaches memory: a page that it has looked up it uses, whatever happens to its table meanwhile. */

/** @throws RangeError for what is no address of a word, or no frame */
function assertWord({ m }: Kernel, addr: number, page: number): void {
  if (!Number.isSafeInteger(addr) || addr < 0 || addr % 4 !== 0) throw new RangeError(`${addr} is no address of a 32-bit word`);
  if (!Number.isInteger(page) || page < 0 || page >= m.memmap.privateStart) throw new RangeError(`${page} is no frame that a device could read or write`);
}

/** A load of the aligned 32-bit word of a page that `addr` names, unsigned. */
export function* deviceLoad32(k: Kernel, mirror: DeviceMirror, addr: number, page: number): Atomic<number> {
  const { m } = k;
  assertWord(k, addr, page);
  if (m.point(Op.DeviceRead, page)) yield SWITCH;
  m.sink?.emit(Event.DeviceAccess, mirror.device.id, Math.floor(addr / 4096), page, 0);
  return m.ram.words[(page << 10) + ((addr % 4096) >> 2)]! >>> 0;
}

/** A store, after which the page is dirty: a device has no bit in the CPU's table that would say so. */
export function* deviceStore32(k: Kernel, mirror: DeviceMirror, addr: number, page: number, value: number): Atomic<void> {
  const { m } = k;
  assertWord(k, addr, page);
  if (m.point(Op.DeviceWrite, page)) yield SWITCH;
  m.sink?.emit(Event.DeviceAccess, mirror.device.id, Math.floor(addr / 4096), page, 1);
  m.ram.words[(page << 10) + ((addr % 4096) >> 2)] = value;
  const folio = m.memmap.folioOf(page);
  m.touches(Op.PageFlags, folio);
  m.memmap.set(folio, PG.dirty);
}

/* Its engine. */

/** @throws RangeError for a device without one */
function assertEngine({ engine, name, driver }: Device): DeviceEngine {
  if (engine === null) throw new RangeError(`device ${name} has no engine: its driver ${driver.name} has no execute()`);
  return engine;
}

/** Queues a job for a device's engine: a number for `waitJob`. @throws RangeError for a device without an engine */
export function* queueJob(k: Kernel, device: Device, job: EngineJob): Atomic<number> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  const engine = assertEngine(device);
  engine.queue.push(job);
  engine.busy();
  engine.wait.wakeAll();
  return ++engine.queued;
}

/** Waits until the engine has done a job. @throws RangeError for one that was never queued */
export function* waitJob(k: Kernel, device: Device, job: number): MaySleep<void> {
  const engine = assertEngine(device);
  for (;;) {
    if (k.m.point(Op.Device, device.id)) yield SWITCH;
    if (!(job <= engine.queued)) throw new RangeError(`job ${job} of ${device.name} was never queued: there were ${engine.queued}`);
    if (engine.done >= job) return;
    yield* engine.finished.sleep(TaskState.Uninterruptible, "device_engine", device.id);
  }
}
