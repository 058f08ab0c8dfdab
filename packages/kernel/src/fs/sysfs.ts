import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { THP_MIN_ORDER, type ThpDefrag, type ThpEnabled, type ThpSizeEnabled } from "../mm/thp.js";
import { cpuList } from "./proc/array.js";
import { PseudoFs, TextFile, type PseudoDir } from "./pseudo.js";
import { addMemoryBlocks } from "./sysfs_memory.js";

const SYSFS_MAGIC = 0x62656572;
/** What every sysfs file says its size is. */
const FILE_SIZE = 4096;

/**
 * /sys, as far as there is something behind it: transparent huge pages, the CPUs, memory blocks, and
 * the one memory node. `cgroup` is where the cgroup hierarchy is mounted.
 */
export class Sysfs extends PseudoFs {
  readonly cgroup: PseudoDir;

  constructor(m: Machine, dev: number) {
    super("sysfs", "sysfs", "rw,nosuid,nodev,noexec,relatime", dev, SYSFS_MAGIC);
    this.cgroup = this.root.dir("fs").dir("cgroup");
    this.addTransparentHugePages(this.root.dir("kernel").dir("mm").dir("transparent_hugepage"));
    const system = this.root.dir("devices").dir("system");
    addMemoryBlocks(this, m, system.dir("memory"));
    for (const name of ["online", "possible", "present"]) {
      this.addText(system.dir("cpu"), name, (k) => cpuList(k.m.config.cpus));
      this.addText(system.dir("node"), name === "present" ? "has_memory" : name, () => "0");
    }
  }

  private addTransparentHugePages(dir: PseudoDir): void {
    this.addSetting<ThpEnabled>(dir, "enabled", ["always", "madvise", "never"], (k) => k.m.thp.enabled, (k, v) => (k.m.thp.enabled = v));
    this.addSetting<ThpDefrag>(
      dir,
      "defrag",
      ["always", "defer", "defer+madvise", "madvise", "never"],
      (k) => k.m.thp.defrag,
      (k, v) => (k.m.thp.defrag = v),
    );
    this.addChoice(dir, "shmem_enabled", ["always", "within_size", "advise", "never", "deny", "force"], "never");
    this.addText(dir, "hpage_pmd_size", () => String(2 << 20));
    this.addBoolean(dir, "use_zero_page", (k) => k.m.thp.useZeroPage, (k, on) => (k.m.thp.useZeroPage = on));
    for (let order = THP_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) {
      this.addSetting<ThpSizeEnabled>(
        dir.dir(`hugepages-${4 << order}kB`),
        "enabled",
        ["always", "inherit", "madvise", "never"],
        (k) => k.m.thp.sizeEnabled(order),
        (k, v) => k.m.thp.setSizeEnabled(order, v),
      );
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

  /** A setting by name: all are shown, the chosen one in brackets. An unknown name is EINVAL. */
  private addSetting<T extends string>(
    dir: PseudoDir,
    name: string,
    choices: readonly T[],
    get: (k: Kernel) => T,
    set: (k: Kernel, value: T) => void,
  ): void {
    dir.add(
      name,
      new TextFile(this, {
        mode: 0o644,
        strict: true,
        size: FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          const chosen = get(k);
          return `${choices.map((c) => (c === chosen ? `[${c}]` : c)).join(" ")}\n`;
        },
        *store(k, text) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          const value = choices.find((c) => c === text.trim());
          if (value === undefined) return -Errno.EINVAL;
          set(k, value);
          return 0;
        },
      }),
    );
  }

  /** A setting that is 0 or 1. */
  private addBoolean(dir: PseudoDir, name: string, get: (k: Kernel) => boolean, set: (k: Kernel, on: boolean) => void): void {
    dir.add(
      name,
      new TextFile(this, {
        mode: 0o644,
        strict: true,
        size: FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          return get(k) ? "1\n" : "0\n";
        },
        *store(k, text) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          const value = text.trim();
          if (value !== "0" && value !== "1") return -Errno.EINVAL;
          set(k, value === "1");
          return 0;
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
