import type { MaySleep } from "../kernel/coroutine.js";
import { capable, Cap } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import { Subpool } from "../mm/hugetlb_reserve.js";
import { HugetlbFs } from "./hugetlbfs.js";
import type { FileSystem } from "./namei.js";
import { memparse } from "./pseudo.js";
import { Tmpfs } from "./tmpfs.js";
import { parseTmpfsOptions } from "./tmpfs_options.js";

/** MS_*: of a mount (shown in /proc/mounts), and those that ask for something else than a new one. */
enum Ms {
  RDONLY = 1,
  NOSUID = 2,
  NODEV = 4,
  NOEXEC = 8,
  REMOUNT = 32,
  NOATIME = 1024,
  BIND = 4096,
  MOVE = 8192,
  SILENT = 1 << 15,
  UNBINDABLE = 1 << 17,
  PRIVATE = 1 << 18,
  SLAVE = 1 << 19,
  SHARED = 1 << 20,
  RELATIME = 1 << 21,
}

/** What unmount a path as far as possible: MNT_DETACH of umount2(2). */
export const MNT_DETACH = 2;
/** MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW. */
const UMOUNT_FLAGS = 15;

/** A file system that is about to be: how it is made, and what is to be done where it is not after all. */
export interface NewFileSystem {
  /** `options` are the mount's. */
  make(dev: number, options: string): FileSystem;
  discard(k: Kernel): MaySleep<void>;
}

/** Of a type, with its options: -ENODEV for other types, -EINVAL, -ENOMEM. */
export function* newFileSystem(k: Kernel, type: string, source: string, data: string): MaySleep<NewFileSystem | number> {
  if (type === "hugetlbfs") return yield* newHugetlbfs(k, source, data);
  if (type !== "tmpfs") return -Errno.ENODEV;
  const given = parseTmpfsOptions(data, k.m.zones.totalPages());
  if (given === null) return -Errno.EINVAL;
  return {
    make(dev, options) {
      const fs = new Tmpfs(k.m, source, options, dev, given.maxPages, given.mode, given.shown, given.maxInodes);
      fs.root.uid = given.uid;
      fs.root.gid = given.gid;
      fs.sb.huge = given.huge;
      fs.sb.noswap = given.noswap;
      return fs;
    },
    *discard() {},
  };
}

/** mount(2) of a new hugetlbfs or tmpfs. -ENODEV for other types; how mounts propagate is of no meaning here. */
export function* mount(k: Kernel, source: string, target: string, type: string, flags: number, data: string): MaySleep<number> {
  if (!capable(k, Cap.SYS_ADMIN)) return -Errno.EPERM;
  if ((flags & (Ms.PRIVATE | Ms.SLAVE | Ms.SHARED | Ms.UNBINDABLE)) !== 0) return 0;
  if ((flags & (Ms.REMOUNT | Ms.BIND | Ms.MOVE | Ms.RDONLY)) !== 0) return -Errno.EINVAL;
  const options = mountOptions((flags & Ms.NOSUID) !== 0, (flags & Ms.NODEV) !== 0, (flags & Ms.NOEXEC) !== 0, (flags & Ms.NOATIME) !== 0 ? "noatime" : "relatime");
  const fs = yield* newFileSystem(k, type, source, data);
  if (typeof fs === "number") return fs;
  const error = yield* k.m.vfs.mountAt(k, target, (dev) => fs.make(dev, options));
  if (error !== 0) yield* fs.discard(k);
  return error;
}

/** As /proc/mounts has them. */
export function mountOptions(nosuid: boolean, nodev: boolean, noexec: boolean, atime: string): string {
  return ["rw", ...(nosuid ? ["nosuid"] : []), ...(nodev ? ["nodev"] : []), ...(noexec ? ["noexec"] : []), ...(atime === "" ? [] : [atime])].join(",");
}

/** umount2(2). */
export function* umount(k: Kernel, target: string, flags: number): MaySleep<number> {
  if ((flags & ~UMOUNT_FLAGS) !== 0) return -Errno.EINVAL;
  if (!capable(k, Cap.SYS_ADMIN)) return -Errno.EPERM;
  return yield* k.m.vfs.umount(k, target, (flags & MNT_DETACH) !== 0);
}

/** A limit as size= and min_size= have it, in huge pages: bytes, or a part of the pool; -1 where there is none. */
function hugePages(value: string | undefined, bytes: number, pool: number): number {
  if (value === undefined) return -1;
  const size = memparse(value)?.bytes ?? 0;
  return value.endsWith("%") ? Math.floor((size * pool) / 100) : Math.floor(size / bytes);
}

function* newHugetlbfs(k: Kernel, source: string, data: string): MaySleep<NewFileSystem | number> {
  const { m } = k;
  const given = new Map<string, string>();
  for (const option of data.split(",").filter((o) => o !== "")) {
    const [name, value] = [option.split("=")[0]!, option.slice(option.indexOf("=") + 1)];
    if (!["uid", "gid", "mode", "size", "nr_inodes", "pagesize", "min_size"].includes(name)) return -Errno.EINVAL;
    given.set(name, value);
  }
  const pagesize = given.get("pagesize");
  const h = pagesize === undefined ? m.hugetlb.defaultHstate : m.hugetlb.hstates.find(({ bytes }) => bytes === memparse(pagesize)?.bytes);
  if (h === undefined) return -Errno.EINVAL;
  const max = hugePages(given.get("size"), h.bytes, h.maxHugePages);
  const min = hugePages(given.get("min_size"), h.bytes, h.maxHugePages);
  if (max >= 0 && min > max) return -Errno.EINVAL;
  const mode = given.has("mode") ? parseInt(given.get("mode")!, 8) & 0o1777 : 0o755;
  const spool = max < 0 && min < 0 ? null : new Subpool(m.locks, h, max, min);
  if (min > 0 && (yield* k.hugetlbPool.acctMemory(k, h, min)) !== 0) return -Errno.ENOMEM;
  const shown: string[] = [];
  if (mode !== 0o755) shown.push(`mode=${mode.toString(8)}`);
  shown.push(h.bytes >= 1 << 20 ? `pagesize=${h.bytes >>> 20}M` : `pagesize=${h.bytes >>> 10}K`);
  if (max >= 0) shown.push(`size=${max * h.bytes}`);
  if (min >= 0) shown.push(`min_size=${min * h.bytes}`);
  return {
    make: (dev, options) => new HugetlbFs(m, h, spool, dev, source, options, shown.join(","), mode),
    *discard(kernel) {
      if (min > 0) yield* kernel.hugetlbPool.acctMemory(kernel, h, -min);
    },
  };
}
