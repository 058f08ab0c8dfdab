import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { cpuList } from "./proc/array.js";
import { PseudoFs, TextFile, type PseudoDir } from "./pseudo.js";

const SYSFS_MAGIC = 0x62656572;
/** What every sysfs file says its size is. */
const FILE_SIZE = 4096;

/**
 * /sys, as far as there is something behind it: transparent huge pages, of which there are none,
 * the CPUs, and the one memory node. `cgroup` is where the cgroup hierarchy is mounted.
 */
export class Sysfs extends PseudoFs {
  readonly cgroup: PseudoDir;

  constructor(dev: number) {
    super("sysfs", "sysfs", "rw,nosuid,nodev,noexec,relatime", dev, SYSFS_MAGIC);
    this.cgroup = this.root.dir("fs").dir("cgroup");
    const thp = this.root.dir("kernel").dir("mm").dir("transparent_hugepage");
    this.addChoice(thp, "enabled", ["always", "madvise", "never"], "never");
    this.addChoice(thp, "defrag", ["always", "defer", "defer+madvise", "madvise", "never"], "never");
    this.addChoice(thp, "shmem_enabled", ["always", "within_size", "advise", "never", "deny", "force"], "never");
    this.addText(thp, "hpage_pmd_size", () => String(2 << 20));
    const system = this.root.dir("devices").dir("system");
    for (const name of ["online", "possible", "present"]) {
      this.addText(system.dir("cpu"), name, (k) => cpuList(k.m.config.cpus));
      this.addText(system.dir("node"), name === "present" ? "has_memory" : name, () => "0");
    }
  }

  private addText(dir: PseudoDir, name: string, value: (k: Kernel) => string): void {
    dir.add(
      name,
      new TextFile(this, {
        mode: 0o444,
        strict: true,
        size: FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return `${value(k)}\n`;
        },
      }),
    );
  }

  /** A setting with only one possible value here: choosing another is EINVAL. */
  private addChoice(dir: PseudoDir, name: string, choices: readonly string[], chosen: string): void {
    dir.add(
      name,
      new TextFile(this, {
        mode: 0o644,
        strict: true,
        size: FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return `${choices.map((c) => (c === chosen ? `[${c}]` : c)).join(" ")}\n`;
        },
        *store(k, text) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return text.trim() === chosen ? 0 : -Errno.EINVAL;
        },
      }),
    );
  }
}
