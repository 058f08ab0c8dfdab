import { Errno, getXattr, listXattr, O, setXattr, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX, XattrFlag, type Inode, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { bytesOf, readUser } from "../user.js";
import * as F from "./format.js";
import { fileOf, path } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

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

function set(which: Which): Handler {
  return function* (t, [argument, nameAddress, valueAddress, size, flags]) {
    if ((int(flags!) & ~(XattrFlag.CREATE | XattrFlag.REPLACE)) !== 0) return -Errno.EINVAL;
    const name = yield* nameAt(t, nameAddress!);
    if (typeof name === "number") return name;
    if (size! < 0 || size! > XATTR_SIZE_MAX) return -Errno.E2BIG;
    const value = yield* readUser(t.k, valueAddress!, size!);
    if (value === null) return -Errno.EFAULT;
    const inode = yield* inodeOf(t, which, argument!);
    return typeof inode === "number" ? inode : yield* setXattr(t.k, inode, name, value, int(flags!));
  };
}

/** What there is, copied out: how long it is, -ERANGE where it does not fit; its length alone where there is no room at all. */
function* copyOut(t: GuestThread, bytes: Uint8Array, address: number, size: number, max: number): MaySleep<number> {
  if (size === 0) return bytes.length;
  if (bytes.length > (size < 0 ? max : size)) return -Errno.ERANGE;
  const error = yield* t.k.uaccess.copyToUser(t.k, address, bytes);
  return error < 0 ? error : bytes.length;
}

function get(which: Which): Handler {
  return function* (t, [argument, nameAddress, address, size]) {
    const name = yield* nameAt(t, nameAddress!);
    if (typeof name === "number") return name;
    const inode = yield* inodeOf(t, which, argument!);
    if (typeof inode === "number") return inode;
    const value = yield* getXattr(t.k, inode, name);
    return typeof value === "number" ? value : yield* copyOut(t, value, address!, size!, XATTR_SIZE_MAX);
  };
}

function list(which: Which): Handler {
  return function* (t, [argument, address, size]) {
    const inode = yield* inodeOf(t, which, argument!);
    if (typeof inode === "number") return inode;
    const names = yield* listXattr(t.k, inode);
    return yield* copyOut(t, bytesOf(names.map((name) => `${name}\0`).join("")), address!, size!, XATTR_LIST_MAX);
  };
}

function remove(which: Which): Handler {
  return function* (t, [argument, nameAddress]) {
    const name = yield* nameAt(t, nameAddress!);
    if (typeof name === "number") return name;
    const inode = yield* inodeOf(t, which, argument!);
    return typeof inode === "number" ? inode : yield* setXattr(t.k, inode, name, null, 0);
  };
}

const NOTE = "files in memory: no access control lists, no file capabilities";
const FLAGS = F.flags([[XattrFlag.CREATE, "XATTR_CREATE"], [XattrFlag.REPLACE, "XATTR_REPLACE"]]);
const setter = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH, F.buffer(3), F.SIZE, FLAGS], set(which), NOTE);
const getter = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH, F.OUT, F.SIZE], get(which), NOTE);
const lister = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.OUT, F.SIZE], list(which), NOTE);
const remover = (name: string, first: F.Format, which: Which): Syscall => call(name, [first, F.PATH], remove(which), NOTE);

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
