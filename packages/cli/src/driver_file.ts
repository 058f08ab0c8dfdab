import { MemoryType, type DeviceSettings, type Driver } from "@faultline/kernel";
import type { UserError } from "./failure.js";
import { trial } from "./trial.js";
import { UserModule } from "./user_module.js";

export interface LoadedDriver {
  /** As the user wrote it. */
  readonly file: string;
  readonly path: string;
  /** Paths of all modules that it consists of. */
  readonly sources: readonly string[];
  readonly driver: Driver;
}

/** Names of the test driver's devices, and what /dev has besides. */
const TAKEN = /^(?:hmm_dmirror\d+|null|zero|full|random|urandom|mem|userfaultfd|fd|stdin|stdout|stderr|shm)$/;
/** Device numbers that are for drivers of one's own: see `registerDriver`. The test driver has one. */
const DRIVERS_MAX = 14;

/**
 * Drivers of the user's own that the compiler has nothing to say against, and that have not run yet.
 * @throws UserError naming the file and what is wrong with it
 */
export function checkDrivers(files: readonly string[]): UserModule[] {
  return files.map((file) => {
    const module = new UserModule("driver", file);
    const [typeError] = module.typeErrors();
    if (typeError !== undefined) throw module.complaint(typeError);
    return module;
  });
}

/**
 * Loads drivers: modules whose default export is a `Driver`.
 * @throws UserError naming the file and what is wrong with it
 */
export async function loadDrivers(modules: readonly UserModule[]): Promise<LoadedDriver[]> {
  const loaded: LoadedDriver[] = [];
  for (const module of modules) {
    const { file } = module;
    const complain = (problem: string): UserError => module.complaint(problem);
    await trial("driver", file);
    const driver = await driverOf(module);
    for (const other of loaded) {
      if (other.driver.name === driver.name) throw complain(`${other.file} is a driver ${driver.name} already`);
      const same = driver.devices.find(({ name }) => other.driver.devices.some((theirs) => theirs.name === name));
      if (same !== undefined) throw complain(`${other.file} has a device ${same.name} already`);
    }
    if (loaded.length === DRIVERS_MAX) throw complain(`there can be ${DRIVERS_MAX} drivers, and this is one more`);
    loaded.push({ file, path: module.path, sources: [module.path, ...module.sources], driver });
  }
  return loaded;
}

/** @throws UserError when the module is no driver */
export async function driverOf(module: UserModule): Promise<Driver> {
  const exported = await module.load();
  const wrong = driverFault(exported);
  if (wrong !== null) throw module.complaint(wrong);
  return exported as Driver;
}

type Properties = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Functions that return what another generator function gives are as good: all that is known of those is that they are functions. Promises are nothing that a kernel could wait for. */
function isFunction(value: unknown): boolean {
  return typeof value === "function" && !/Async/.test(Object.prototype.toString.call(value));
}

const MEMBERS: ReadonlySet<string> = new Set(["name", "devices", "file", "invalidate", "memory", "execute", "operations", "debugfs", "lockClass"]);
/** What a file has that is no function. */
const NO_FUNCTIONS: ReadonlySet<string> = new Set(["iter", "stream", "seeks"]);
const MEMORY_TYPES: readonly unknown[] = Object.values(MemoryType).filter((value) => typeof value === "number");

/** What makes it no driver, or null. The compiler has not looked at JavaScript, and sees no names. */
export function driverFault(exported: unknown): string | null {
  if (exported === undefined || (isObject(exported) && Object.keys(exported).length === 0)) return "it has no default export: write export default driver({ … })";
  if (!isObject(exported)) return "its default export is no driver";
  const unknown = Object.keys(exported).find((name) => !MEMBERS.has(name));
  if (unknown !== undefined) return `a driver has no '${unknown}': there are ${[...MEMBERS].join(", ")}`;
  const { name, devices, file, invalidate, memory = {}, execute, operations = {}, debugfs = {}, lockClass } = exported;
  if (typeof name !== "string" || !/^[a-z][a-z0-9_]*$/.test(name)) return "its name must be a word of lower-case letters, digits and _";
  if (!Array.isArray(devices) || devices.length === 0) return "its devices must be an array of { name }, with one at least";
  const wrong = devices.map(deviceFault).find((fault) => fault !== null);
  if (wrong !== undefined) return wrong;
  const names = (devices as readonly { readonly name: string }[]).map((device) => device.name);
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice !== undefined) return `it has two devices ${twice}`;
  if (!isObject(file)) return "its file must be an object of functions: open, release, ioctl, …";
  for (const [member, value] of Object.entries(file)) if (!NO_FUNCTIONS.has(member) && !isFunction(value)) return `file.${member} must be a function`;
  for (const [member, value] of [["invalidate", invalidate], ["execute", execute]] as const) {
    if (value !== undefined && !isFunction(value)) return `its ${member} must be a generator function`;
  }
  for (const [what, group] of [["memory", memory], ["operations", operations]] as const) {
    if (!isObject(group)) return `its ${what} must be an object of functions`;
    for (const [member, value] of Object.entries(group)) if (!isFunction(value)) return `${what}.${member} must be a generator function`;
  }
  const unaddressable = (devices as readonly DeviceSettings[]).find((device) => device.memory === MemoryType.DEVICE_PRIVATE);
  if (unaddressable !== undefined && (memory as Properties)["migrateToRam"] === undefined) return `the memory of device ${unaddressable.name} is device-private: it must have memory.migrateToRam, which brings a page back for a CPU`;
  if (!isObject(debugfs) || Object.values(debugfs).some((each) => !isObject(each))) return "its debugfs must be an object of { show, store }";
  if (lockClass !== undefined && (typeof lockClass !== "string" || !/^\w+$/.test(lockClass))) return "its lockClass must be a word";
  return null;
}

function deviceFault(device: unknown): string | null {
  if (!isObject(device)) return "each of its devices must be { name }";
  const { name, mode, memory, iommu } = device;
  if (typeof name !== "string" || !/^[\w-]+$/.test(name)) return "the name of a device must be letters, digits, - and _";
  if (TAKEN.test(name)) return `there is a device ${name} already`;
  if (mode !== undefined && (!Number.isInteger(mode) || (mode as number) < 0 || (mode as number) > 0o777)) return `the mode of device ${name} must be a number up to 0o777`;
  if (iommu !== undefined && typeof iommu !== "boolean") return `the iommu of device ${name} must be true or false`;
  if (memory !== undefined && !MEMORY_TYPES.includes(memory)) return `the memory of device ${name} must be a MemoryType`;
  return null;
}
