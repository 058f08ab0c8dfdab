/**
 * @linux drivers/base/memory.c
 * @omits Groups of blocks, `probe`, `soft_offline_page` and `hard_offline_page` in sysfs.
 * @own onlineStore, onlineTypeFromString, validZones
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Mutex, RwSem } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import { Ratelimit } from "../kernel/ratelimit.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { MmopOnline } from "../mm/memory_hotplug.js";
import { RAM_BASE_PFN } from "../mm/page.js";
import { MEMORY_BLOCK_ORDER, MEMORY_BLOCK_PAGES, type Zone } from "../mm/zone.js";

export type MemoryState = "online" | "going-offline" | "offline";

/** 128 MiB of RAM that come online and go offline as one. */
export interface MemoryBlock {
  /** As in /sys/devices/system/memory/memoryN: the physical address over 128 MiB. */
  readonly id: number;
  readonly firstPage: number;
  /** The last one of a machine may be smaller, and then stays online. */
  readonly pages: number;
  state: MemoryState;
}

/** All memory blocks, and what guards their coming and going. */
export class MemoryBlocks {
  readonly list: readonly MemoryBlock[];
  /** device_hotplug_lock: one change of state at a time. */
  readonly deviceHotplugLock: Mutex;
  /** mem_hotplug_lock: taken for writing by who changes what memory there is. */
  readonly memHotplugLock: RwSem;
  /** What auto_online_blocks says; memory that is added to a machine is nothing that happens here. */
  autoOnline = "offline";
  readonly migrateRatelimit: Ratelimit;

  constructor(m: Machine) {
    const { frames } = m.config;
    this.list = Array.from({ length: Math.ceil(frames / MEMORY_BLOCK_PAGES) }, (_, i) => ({
      id: (RAM_BASE_PFN >>> MEMORY_BLOCK_ORDER) + i,
      firstPage: i * MEMORY_BLOCK_PAGES,
      pages: Math.min(MEMORY_BLOCK_PAGES, frames - i * MEMORY_BLOCK_PAGES),
      state: "online" as const,
    }));
    this.deviceHotplugLock = new Mutex(m.locks, "device_hotplug");
    this.memHotplugLock = new RwSem(m.locks, "mem_hotplug");
    this.migrateRatelimit = new Ratelimit(m, "do_migrate_range");
  }
}

/** Time that somebody waits who finds the lock taken, before his system call begins anew. */
const RETRY_NS = 5_000_000;

/** Takes the lock for a write to sysfs: 0, or -EINTR for a signal while somebody else has it. */
export function* lockDeviceHotplugSysfs(k: Kernel): MaySleep<number> {
  const { m } = k;
  const lock = m.memoryBlocks.deviceHotplugLock;
  while (lock.isLocked) {
    if (m.signals.pending(m.current!)) return -Errno.EINTR;
    yield* k.time.sleepUntil(k, m.now() + RETRY_NS, "device_hotplug_lock");
  }
  if (!lock.tryLock()) yield* lock.lock();
  return 0;
}

/** Brings a block online for a use: 0; 1 when it was already. The lock is held. */
export function* deviceOnline(k: Kernel, block: MemoryBlock, type: MmopOnline): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  if (block.state !== "offline") return 1;
  const zone = k.memoryHotplug.zoneForPfnRange(k, type, block.firstPage);
  const error = yield* k.memoryHotplug.onlinePages(k, block.firstPage, zone);
  if (error === 0) block.state = "online";
  return error;
}

/** Takes a block offline: 0; 1 when it was already; -EBUSY, -EINTR, -EINVAL. The lock is held. */
export function* deviceOffline(k: Kernel, block: MemoryBlock): MaySleep<number> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  if (block.state === "offline") return 1;
  if (block.state !== "online" || block.pages < MEMORY_BLOCK_PAGES) return -Errno.EINVAL;
  block.state = "going-offline";
  const error = yield* k.memoryHotplug.offlinePages(k, block.firstPage);
  block.state = error === 0 ? "offline" : "online";
  return error;
}

/** What may be written to `state`, and for what use memory then comes online. */
const ONLINE_TYPES: Readonly<Record<string, MmopOnline | null>> = {
  offline: null,
  online: MmopOnline.ONLINE,
  online_kernel: MmopOnline.KERNEL,
  online_movable: MmopOnline.MOVABLE,
};

/** A use by its name, null for offline; undefined for what is none. One newline at the end is fine. */
export function onlineTypeFromString(text: string): MmopOnline | null | undefined {
  const name = text.endsWith("\n") ? text.slice(0, -1) : text;
  return Object.hasOwn(ONLINE_TYPES, name) ? ONLINE_TYPES[name] : undefined;
}

/** A write to memoryN/state: 0 or a negated errno, -EINVAL also for a state that it has already. */
export function* stateStore(k: Kernel, block: MemoryBlock, text: string): MaySleep<number> {
  const type = onlineTypeFromString(text);
  if (type === undefined) return -Errno.EINVAL;
  const error = yield* k.memoryDevice.lockDeviceHotplugSysfs(k);
  if (error !== 0) return error;
  const result =
    type === null ? yield* k.memoryDevice.deviceOffline(k, block) : yield* k.memoryDevice.deviceOnline(k, block, type);
  const { deviceHotplugLock } = k.m.memoryBlocks;
  if (!deviceHotplugLock.tryUnlock()) yield* deviceHotplugLock.unlock();
  return result > 0 ? -Errno.EINVAL : result;
}

/** A write to memoryN/online, a truth value: a state that it has already is fine. */
export function* onlineStore(k: Kernel, block: MemoryBlock, text: string): MaySleep<number> {
  const on = parseBoolean(text);
  if (on === null) return -Errno.EINVAL;
  const error = yield* k.memoryDevice.lockDeviceHotplugSysfs(k);
  if (error !== 0) return error;
  const result = on
    ? yield* k.memoryDevice.deviceOnline(k, block, MmopOnline.ONLINE)
    : yield* k.memoryDevice.deviceOffline(k, block);
  const { deviceHotplugLock } = k.m.memoryBlocks;
  if (!deviceHotplugLock.tryUnlock()) yield* deviceHotplugLock.unlock();
  return Math.min(result, 0);
}

/** As the kernel reads truth values: by the first letter, or two of on and off. */
function parseBoolean(text: string): boolean | null {
  if (/^([eEyYtT1]|[oO][nN])/.test(text)) return true;
  return /^([dDnNfF0]|[oO][fF])/.test(text) ? false : null;
}

/** memoryN/valid_zones: the zone it is in, or those it could come online in, the usual one first. */
export function validZones(k: Kernel, block: MemoryBlock): string {
  if (block.state !== "offline") return k.m.zones.zoneOf(block.firstPage).name;
  const zones: Zone[] = [];
  for (const type of [MmopOnline.ONLINE, MmopOnline.KERNEL, MmopOnline.MOVABLE]) {
    const zone = k.memoryHotplug.zoneForPfnRange(k, type, block.firstPage);
    if (!zones.includes(zone)) zones.push(zone);
  }
  return zones.map((zone) => zone.name).join(" ");
}
