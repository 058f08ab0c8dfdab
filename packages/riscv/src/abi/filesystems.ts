import { Devtmpfs, makedev, MountTree, Tmpfs, type Kernel } from "@faultline/kernel";

/** TEMP */
export function mountRoot(k: Kernel): void {
  const { m } = k;
  const root = new Tmpfs(m, "rootfs", "rw", makedev(0, 2), m.zones.totalPages() >> 1, 0o755);
  const dev = new Devtmpfs(makedev(0, 5), m.zones.totalPages() * 2);
  const tree = new MountTree(root, { sysname: "Linux", nodename: "faultline", release: "7.3.0", version: "#1 SMP", machine: "riscv64" }, (d) => dev.register(d));
  const inode = root.newInode("directory", 0o755);
  root.root.names.set("dev", inode);
  tree.mount("/dev", inode, dev);
  m.vfs = tree;
}
