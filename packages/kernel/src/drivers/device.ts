import type { MaySleep } from "../kernel/coroutine.js";
import type { Executor } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { Show, Store } from "../fs/pseudo.js";
import type { FileOps, OpenFile } from "../fs/vfs.js";
import type { DevPagemapOps, MemoryType } from "../mm/dev_pagemap.js";
import type { NotifierRange } from "../mm/mmu_notifier.js";
import type { DeviceEngine, EngineJob } from "./device_engine.js";
import type { IommuDomain } from "./iommu.js";
import type { DevicePool } from "./device_memory.js";
import type { DeviceMirror } from "./device_mirror.js";

/** One device of a driver. */
export interface DeviceSettings {
  /** Of its node, /dev/NAME, and in reports: letters, digits, "-" and "_". */
  readonly name: string;
  /** Permission bits of the node; 0o600 unless given. */
  readonly mode?: number;
  /** The kind of its memory, where it has any: see `Driver.memory`. */
  readonly memory?: MemoryType;
  /** It is behind an IOMMU: see `k.hmmDma`. */
  readonly iommu?: boolean;
}

/** What can be done with an open file of a device: results are byte counts or 0, or negated errnos. */
export interface DeviceFileOps extends FileOps {
  /** Sets up `file.data`; 0 or a negated errno. The current task's `mm` is the address space of who opens it. */
  open?(k: Kernel, file: OpenFile, device: Device): MaySleep<number>;
}

/** A file of text, made as a whole when it is read; `store` gets what is written at once: 0 or a negated errno. */
export interface DriverFile {
  readonly mode?: number;
  readonly show?: Show;
  readonly store?: Store;
}

/** What a driver does with the memory of its devices. */
export interface DriverMemory {
  /**
   * A CPU wants a page of device-private memory, `vmf.page`, whose folio is locked and has a reference at site
   * "migrate_to_ram". VmFault bits; 0 when it is in RAM now, or the fault is to be tried again.
   */
  migrateToRam?: DevPagemapOps["migrateToRam"];
  /** The last reference to a folio is gone; `k.deviceMemory.deviceFolioFree` unless given. */
  folioFree?: DevPagemapOps["folioFree"];
  /** A large folio has been split; `k.deviceMemory.deviceFolioSplit` unless given. */
  folioSplit?: DevPagemapOps["folioSplit"];
}

/** Something that a device does by itself, rather than for a call of a program: a load through its page table, say. */
export type EngineOperation = (k: Kernel, file: OpenFile, ...args: number[]) => MaySleep<number>;

/**
 * A driver: what a module that is given with `--driver` has as its default export. All its functions get the kernel first,
 * and may keep nothing in the module: state belongs to the open file (`file.data`), the device (`device.data`) or the
 * mirror (`mirror.data`), as plain data.
 */
export interface Driver {
  /** As in reports and in /sys/kernel/debug: a lower-case word. */
  readonly name: string;
  /** Its devices, one at least. */
  readonly devices: readonly DeviceSettings[];
  readonly file: DeviceFileOps;
  /**
   * The callback of its mirrors' interval notifiers: before it returns, nothing of the range may be in the device's table, and
   * `k.mmuNotifier.intervalSetSeq` has been called, both under the mirror's mutex. False, where the range is not
   * blockable and it would have to wait. Each driver with a `DeviceMirror` has one.
   */
  invalidate?(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean>;
  readonly memory?: DriverMemory;
  /** What the device's engine does with a job that was queued (`k.device.queueJob`), on an executor of its own. */
  execute?(k: Kernel, device: Device, job: EngineJob): MaySleep<void>;
  /** What the device does by itself, by name; scenarios have it done by `t.engine(fd, NAME, …)`. */
  readonly operations?: Readonly<Record<string, EngineOperation>>;
  /** Its files in /sys/kernel/debug/NAME. */
  readonly debugfs?: Readonly<Record<string, DriverFile>>;
  /**
   * What the locks are called in reports: this the mutex of a mirror, with "_memory" and "_chunks" behind it those of a
   * device's memory. "device_mirror" unless given.
   */
  readonly lockClass?: string;
}

/** What a driver has returned is nothing that the kernel could go on with; it is not running any more, so that no stack names it. */
export class DriverError extends RangeError {
  constructor(
    /** Its name. */
    readonly driver: string,
    message: string,
  ) {
    super(message);
  }
}

type Functions = Readonly<Record<string, unknown>>;
type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/** Functions of drivers that are no generators. */
const PLAIN: ReadonlySet<string> = new Set(["poll", "changes", "showFdinfo", "unread", "folioSplit"]);

/** A function that is in its body from its first step to its last, also where it only returns what another one gives. */
function bodyOf(name: string, fn: AnyFunction, self: object): unknown {
  if (PLAIN.has(name)) return fn.bind(self);
  return function* (...args: unknown[]): Generator<unknown, unknown, unknown> {
    return yield* Reflect.apply(fn, self, args) as Generator<unknown, unknown, unknown>;
  };
}

/** A driver with something put around each of its functions; `wrap` gets them as the kernel would call them, "NAME_open". */
export function instrumentDriver(driver: Driver, wrap: (functions: Functions) => Functions): Driver {
  const group = <T extends object>(members: T): T => {
    const named = Object.entries(members).map(([name, member]: [string, unknown]) => [`${driver.name}_${name}`, typeof member === "function" ? bodyOf(name, member as AnyFunction, members) : member]);
    const wrapped = wrap(Object.fromEntries(named) as Functions);
    return Object.fromEntries(Object.keys(members).map((name) => [name, wrapped[`${driver.name}_${name}`]])) as T;
  };
  const { invalidate, execute, file, memory, operations } = driver;
  return {
    ...driver,
    file: group(file),
    ...group({ ...(invalidate === undefined ? {} : { invalidate }), ...(execute === undefined ? {} : { execute }) }),
    ...(memory === undefined ? {} : { memory: group(memory) }),
    ...(operations === undefined ? {} : { operations: group(operations) }),
  };
}

/** What the locks of a driver are called. */
export function lockClassOf({ lockClass }: Driver): string {
  return lockClass ?? "device_mirror";
}

/** Keeps the types of a driver: `export default driver({ … })`. */
export function driver(d: Driver): Driver {
  return d;
}

/** One device, as `registerDriver` has made it. */
export class Device {
  /** Its number among all devices of the machine. */
  readonly id: number;
  /** Its memory, where it has any: the owner of that is the device. */
  memory: DevicePool | null = null;
  /** What works through its jobs, where its driver has `execute`. */
  engine: DeviceEngine | null = null;
  /** What stands between it and memory; null for nothing. */
  iommu: IommuDomain | null = null;
  /** Where scenarios run threads of it; null where nobody has asked for one. */
  executor: Executor | null = null;
  /** Files of it that are open. */
  opened = 0;
  /** The driver's own: plain data. */
  data: unknown = null;

  constructor(
    k: Kernel,
    readonly driver: Driver,
    readonly name: string,
    /** Its number among its driver's devices. */
    readonly minor: number,
  ) {
    this.id = k.m.devices.push(this) - 1;
  }
}
