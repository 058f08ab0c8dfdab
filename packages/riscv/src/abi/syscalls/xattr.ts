import { Cap, capable, Errno, inodePermission, May, O, type Inode, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readUser } from "../user.js";
import * as F from "./format.js";
import { fileOf, path } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/*
 * Extended attributes, which no file system here has: what is asked for is checked as far as Linux checks it
 * before it asks the file system.
 */

const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65_536;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

/** How the first argument says which file: a path, one that is not followed at its end, or a descriptor. */
type Which = "path" | "link" | "descriptor";

function* inodeOf(t: GuestThread, which: Which, argument: number): MaySleep<Inode | number> {
  if (which === "descriptor") {
    const file = fileOf(t, argument);
    return file === null || (file.flags & O.PATH) !== 0 ? -Errno.EBADF : file.inode;
  }
  const name = yield* path(t, argument);
  return typeof name === "number" ? name : yield* t.k.m.vfs.lookup(t.k, name, which === "path");
}

/** The name of an attribute: -ERANGE for none, and for one that is too long. */
function* nameAt(t: GuestThread, address: number): MaySleep<string | number> {
  const name = yield* t.k.uaccess.strncpyFromUser(t.k, address, XATTR_NAME_MAX + 1);
  if (typeof name === "number") return name === -Errno.ENAMETOOLONG ? -Errno.ERANGE : name;
  return name === "" ? -Errno.ERANGE : name;
}

/** Whether an attribute could be read or written at all, whatever the file system: -EROFS, -EPERM, -ENODATA, -EACCES. */
function mayUse(t: GuestThread, inode: Inode, name: string, mask: May): number {
  const writes = mask === May.WRITE;
  if (writes && inode.readOnly === true) return -Errno.EROFS;
  if (name.startsWith("security.") || name.startsWith("system.")) return 0;
  const refused = writes ? -Errno.EPERM : -Errno.ENODATA;
  if (name.startsWith("trusted.")) return capable(t.k, Cap.SYS_ADMIN) ? 0 : refused;
  if (name.startsWith("user.") && inode.kind !== "file" && inode.kind !== "directory") return refused;
  return inodePermission(t.k, inode, mask);
}

function use(which: Which, mask: May): Handler {
  return function* (t, [argument, nameAddress]) {
    const name = yield* nameAt(t, nameAddress!);
    if (typeof name === "number") return name;
    const inode = yield* inodeOf(t, which, argument!);
    if (typeof inode === "number") return inode;
    const refused = mayUse(t, inode, name, mask);
    return refused < 0 ? refused : -Errno.EOPNOTSUPP;
  };
}

function set(which: Which): Handler {
  const write = use(which, May.WRITE);
  return function* (t, args) {
    const [, nameAddress, value, size, flags] = args;
    if ((int(flags!) & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -Errno.EINVAL;
    const name = yield* nameAt(t, nameAddress!);
    if (typeof name === "number") return name;
    if (size! < 0 || size! > XATTR_SIZE_MAX) return -Errno.E2BIG;
    if ((yield* readUser(t.k, value!, size!)) === null) return -Errno.EFAULT;
    return yield* write(t, args);
  };
}

/** No names. */
function list(which: Which): Handler {
  return function* (t, [argument]) {
    const inode = yield* inodeOf(t, which, argument!);
    return typeof inode === "number" ? inode : 0;
  };
}

const NONE = "no file system here has any";
const FLAGS = F.flags([[XATTR_CREATE, "XATTR_CREATE"], [XATTR_REPLACE, "XATTR_REPLACE"]]);
const setter = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH, F.buffer(3), F.SIZE, FLAGS], set(which), NONE);
const getter = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH, F.OUT, F.SIZE], use(which, May.READ), NONE);
const lister = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.OUT, F.SIZE], list(which), NONE);
const remover = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH], use(which, May.WRITE), NONE);

export const XATTR: readonly (readonly [number, Syscall])[] = [
  [5, setter("setxattr", F.PATH, "path")],
  [6, setter("lsetxattr", F.PATH, "link")],
  [7, setter("fsetxattr", F.INT, "descriptor")],
  [8, getter("getxattr", F.PATH, "path")],
  [9, getter("lgetxattr", F.PATH, "link")],
  [10, getter("fgetxattr", F.INT, "descriptor")],
  [11, lister("listxattr", F.PATH, "path")],
  [12, lister("llistxattr", F.PATH, "link")],
  [13, lister("flistxattr", F.INT, "descriptor")],
  [14, remover("removexattr", F.PATH, "path")],
  [15, remover("lremovexattr", F.PATH, "link")],
  [16, remover("fremovexattr", F.INT, "descriptor")],
];
