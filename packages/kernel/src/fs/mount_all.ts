import type { Kernel } from "../kernel.js";
import { CgroupFs } from "./cgroup.js";
import { Debugfs } from "./debugfs.js";
import { Devtmpfs } from "./devtmpfs.js";
import { FIRST_ANON_DEV, MountTree } from "./namei.js";
import { Procfs } from "./proc/root.js";
import { StdStreams, type HostStreams } from "./stdio.js";
import { Sysfs } from "./sysfs.js";
import { Tmpfs } from "./tmpfs.js";
import type { UtsName } from "./vfs.js";

export interface MountOptions extends HostStreams {
  /** What uname(2) says; a release of 7.3 unless given. */
  readonly uts?: Partial<UtsName>;
  /** /proc/cmdline. */
  readonly cmdline?: string;
}

const DEFAULT_UTS: UtsName = {
  sysname: "Linux",
  nodename: "faultline",
  release: "7.3.0",
  version: "#1 SMP PREEMPT_DYNAMIC",
  machine: "riscv64",
};

/**
 * Makes the tree of mounts of a machine and puts it into `m.vfs`: tmpfs at /, /tmp and /dev/shm,
 * devtmpfs, proc, sysfs and cgroup2. Returns the standard streams, to be installed in the file
 * table of whatever process is to have them. To be called once, before any task runs.
 */
export function mountAll(k: Kernel, options: MountOptions): StdStreams {
  const { m } = k;
  const uts = { ...DEFAULT_UTS, ...options.uts };
  const half = m.zones.totalPages() >> 1;
  const halfKb = half * 4;
  let dev = FIRST_ANON_DEV;
  const tmpfs = (mode: number): Tmpfs => new Tmpfs(m, "tmpfs", "rw,relatime", dev++, half, mode);
  const root = tmpfs(0o755);
  const devtmpfs = new Devtmpfs(dev++, halfKb);
  const tree: MountTree = new MountTree(root, uts, {
    registerDevice: (device) => devtmpfs.register(device),
    registerDebugfs: (name, files) => debugfs.register(name, files),
  });
  tree.mount("/dev", root.mkdirAtBoot("dev", 0o755), devtmpfs);
  const procfs = new Procfs(dev++, uts, options.cmdline ?? "", () => tree.mounts);
  tree.mount("/proc", root.mkdirAtBoot("proc", 0o555), procfs);
  const sysfs = new Sysfs(m, dev++);
  tree.mount("/sys", root.mkdirAtBoot("sys", 0o555), sysfs);
  tree.mount("/sys/fs/cgroup", sysfs.cgroup, new CgroupFs(m, dev++));
  tree.mount("/dev/shm", devtmpfs.root.dir("shm", 0o1777), tmpfs(0o1777));
  tree.mount("/tmp", root.mkdirAtBoot("tmp", 0o1777), tmpfs(0o1777));
  const debugfs = new Debugfs(dev++);
  tree.mount("/sys/kernel/debug", sysfs.debug, debugfs);
  m.vfs = tree;
  m.hugetlb.firstAnonDev = FIRST_ANON_DEV + 60;
  return new StdStreams(options);
}
