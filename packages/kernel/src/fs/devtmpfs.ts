import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import { MEM_DEVICE } from "./dev_mem.js";
import { MEM_DEVICES } from "./mem_devices.js";
import { PseudoFs, PseudoLink } from "./pseudo.js";
import { TMPFS_MAGIC } from "./tmpfs.js";
import { USERFAULTFD_DEVICE } from "./userfaultfd_file.js";
import type { CharDevice, FileOps, Inode, OpenFile } from "./vfs.js";

/** The node of a character device. */
class DeviceInode implements Inode {
  readonly kind = "char";
  readonly size = 0;
  readonly ino: number;
  readonly rdev: number;
  readonly ops: FileOps;
  mode: number;

  constructor(
    private readonly fs: PseudoFs,
    private readonly device: CharDevice,
  ) {
    this.ino = fs.allocateIno();
    this.rdev = device.rdev;
    this.ops = device.ops;
    this.mode = device.mode ?? 0o600;
  }

  get dev(): number {
    return this.fs.dev;
  }

  *open(k: Kernel, file: OpenFile): MaySleep<number> {
    return this.device.open === undefined ? 0 : yield* this.device.open(k, file);
  }
}

/** /dev: what drivers register, and the links of a usual system. Only drivers add to it. */
export class Devtmpfs extends PseudoFs {
  constructor(dev: number, sizeKb: number) {
    super("devtmpfs", "devtmpfs", "rw,nosuid,relatime", dev, TMPFS_MAGIC, {
      rootMode: 0o755,
      nameMax: 255,
      superOptions: `size=${sizeKb}k,nr_inodes=${sizeKb >> 2},mode=755`,
    });
    for (const device of [MEM_DEVICE, ...MEM_DEVICES, USERFAULTFD_DEVICE]) this.register(device);
    this.root.add("fd", new PseudoLink(this, () => "/proc/self/fd"));
    for (const [fd, name] of ["stdin", "stdout", "stderr"].entries()) {
      this.root.add(name, new PseudoLink(this, () => `/proc/self/fd/${fd}`));
    }
  }

  register(device: CharDevice): void {
    this.root.add(device.name, new DeviceInode(this, device));
  }
}
