import { Errno, fput, MapFlag, O, Prot, SWITCH, Op, type Kernel, type MaySleep, type Mm, type OpenFile } from "@faultline/kernel";
import { ScenarioError } from "./scenario_error.js";

/** What stands for the list of descriptors, and for each of them, among numbers of inodes: none has one of these. */
const DESCRIPTORS = 0;
const DESCRIPTOR = 1 << 28;

/** Open files of devices of drivers, by their numbers: a scenario's descriptors. */
export class DeviceFiles {
  readonly open: (OpenFile | null)[] = [];
}

function isGenerator(value: unknown): value is MaySleep<number> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

/** What a scenario does with the devices of drivers: those of `--driver`, and of its own `drivers`. */
export class DriverApi {
  constructor(
    readonly k: Kernel,
    readonly mm: Mm,
    private readonly files: DeviceFiles,
  ) {}

  /**
   * Opens /dev/NAME for the address space: a descriptor, or a negated errno.
   * @throws ScenarioError where there is no such device
   */
  *open(name: string): MaySleep<number> {
    const { k, files } = this;
    const device = k.m.devices.find((one) => one.name === name);
    if (device === undefined) {
      const names = k.m.devices.map((one) => one.name);
      throw new ScenarioError(`open: there is no device '${name}'${names.length === 0 ? ": give its driver with --driver" : `: there are ${names.join(", ")}`}`);
    }
    const file = yield* k.device.openDevice(k, device, O.RDWR);
    if (k.m.point(Op.Inode, DESCRIPTORS)) yield SWITCH;
    return typeof file === "number" ? file : files.open.push(file) - 1;
  }

  /** Closes a descriptor of `open`: 0, or -EBADF where it is closed already. */
  *close(fd: number): MaySleep<number> {
    if (this.k.m.point(Op.Inode, DESCRIPTORS)) yield SWITCH;
    const file = this.file(fd);
    if (file === null) return -Errno.EBADF;
    this.files.open[fd] = null;
    yield* fput(this.k, file);
    return 0;
  }

  /**
   * ioctl(2): `arg` is a number, or the address of what the driver copies in and out. What the driver returns; -EBADF of a descriptor that
   * is closed. The call has a reference to the file: whoever closes it meanwhile does not release it.
   */
  *ioctl(fd: number, cmd: number, arg: number): MaySleep<number> {
    const file = this.file(fd);
    if (file === null) return -Errno.EBADF;
    this.hold(file);
    const result = yield* this.k.device.deviceIoctl(this.k, file, cmd, arg);
    yield* fput(this.k, file);
    return result;
  }

  /**
   * Has the device do something by itself, one of its driver's `operations`: what that returns; -EBADF of a descriptor that is closed. What it
   * does already is not waited for by who closes the file: its driver's `release` must see to that.
   * @throws ScenarioError where the driver has no such operation
   */
  *engine(fd: number, operation: string, ...args: number[]): MaySleep<number> {
    const file = this.file(fd);
    if (file === null) return -Errno.EBADF;
    const { driver } = this.k.m.devices.find(({ name }) => file.path === `/dev/${name}`)!;
    const act = driver.operations?.[operation];
    if (act === undefined) {
      throw new ScenarioError(`engine: driver ${driver.name} has no operation '${operation}': there are ${Object.keys(driver.operations ?? {}).join(", ") || "none"}`);
    }
    const running: unknown = act(this.k, file, ...args);
    const wrong = (what: string): ScenarioError => new ScenarioError(`engine: operation '${operation}' of driver ${driver.name} ${what}`);
    if (!isGenerator(running)) throw wrong("is no generator function: write *" + operation + "(k, file) { … }");
    const result = yield* running;
    if (!Number.isSafeInteger(result)) throw wrong(`returned ${String(result)}: it must be a whole number`);
    return result;
  }

  /** mmap(2) of a device, shared and from its beginning: the address, or a negated errno. */
  *mmapDevice(fd: number, pages: number): MaySleep<number> {
    const { k, mm } = this;
    const file = this.file(fd);
    if (file === null) return -Errno.EBADF;
    this.hold(file);
    const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, Prot.READ | Prot.WRITE, MapFlag.SHARED, file, 0);
    yield* fput(k, file);
    return addr;
  }

  /** What a descriptor is of; null where it is closed. */
  private file(fd: number): OpenFile | null {
    this.k.m.touches(Op.Inode, DESCRIPTOR + fd);
    const file = this.files.open[fd];
    if (file === undefined) throw new ScenarioError(`there is no open file ${fd}`);
    return file;
  }

  /** A reference for as long as a call has the file (fdget()). */
  private hold(file: OpenFile): void {
    this.k.m.touches(Op.Inode, file.inode.ino);
    file.references++;
  }
}
