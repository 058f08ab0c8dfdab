import { Cap, capable } from "../kernel/capability.js";
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { inodePermission, May, ownsInode } from "./permission.js";
import { S_ISVTX, type Inode } from "./vfs.js";

/*
 * Extended attributes of files in memory (simple_xattr): user.*, trusted.* and security.*, but for
 * security.capability, which would give programs capabilities. There are no access control lists (system.*).
 */

/** Flags of setxattr(2). */
export enum XattrFlag {
  CREATE = 1,
  REPLACE = 2,
}

/** Longest name and largest value, in bytes. */
export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65_536;
/** All names of a file, each with its NUL, in bytes. */
export const XATTR_LIST_MAX = 65_536;

const NAMESPACES = ["user.", "trusted.", "security."];
const CAPABILITY = "security.capability";

/** Whether an attribute could be read or written at all, whatever the file system: -EROFS, -EPERM, -ENODATA, -EACCES. */
function mayUse(k: Kernel, inode: Inode, name: string, mask: May): number {
  const writes = mask === May.WRITE;
  if (writes && inode.readOnly === true) return -Errno.EROFS;
  if (name.startsWith("security.") || name.startsWith("system.")) return 0;
  const refused = writes ? -Errno.EPERM : -Errno.ENODATA;
  if (name.startsWith("trusted.")) return capable(k, Cap.SYS_ADMIN) ? 0 : refused;
  if (name.startsWith("user.")) {
    if (inode.kind !== "file" && inode.kind !== "directory") return refused;
    // In a directory where names are their owners' so are these.
    if (writes && inode.kind === "directory" && (inode.mode & S_ISVTX) !== 0 && !ownsInode(k, inode)) return -Errno.EPERM;
  }
  return inodePermission(k, inode, mask);
}

/** The attributes among which a name is, or -EOPNOTSUPP, -EINVAL for the name of a namespace alone. */
function attributesFor({ xattrs }: Inode, name: string): Map<string, Uint8Array> | number {
  const prefix = NAMESPACES.find((one) => name.startsWith(one));
  if (xattrs === undefined || prefix === undefined || name === CAPABILITY) return -Errno.EOPNOTSUPP;
  return name === prefix ? -Errno.EINVAL : xattrs;
}

/** Gives an attribute a value, or with null takes it away. 0, -EEXIST, -ENODATA, or why it may not be. */
export function* setXattr(k: Kernel, inode: Inode, name: string, value: Uint8Array | null, flags: number): Atomic<number> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const refused = mayUse(k, inode, name, May.WRITE);
  if (refused < 0) return refused;
  if (name.startsWith("security.") && !capable(k, Cap.SYS_ADMIN)) return -Errno.EPERM;
  const xattrs = attributesFor(inode, name);
  if (typeof xattrs === "number") return xattrs;
  const there = xattrs.has(name);
  if (there && (flags & XattrFlag.CREATE) !== 0) return -Errno.EEXIST;
  if (!there && (value === null || (flags & XattrFlag.REPLACE) !== 0)) return -Errno.ENODATA;
  if (value === null) xattrs.delete(name);
  else xattrs.set(name, value);
  inode.ctimeNs = k.m.now();
  return 0;
}

/** The value of an attribute, or -ENODATA, or why it may not be read. */
export function* getXattr(k: Kernel, inode: Inode, name: string): Atomic<Uint8Array | number> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const refused = mayUse(k, inode, name, May.READ);
  if (refused < 0) return refused;
  const xattrs = attributesFor(inode, name);
  return typeof xattrs === "number" ? xattrs : (xattrs.get(name) ?? -Errno.ENODATA);
}

/** The names of all attributes, the last one by its bytes first; trusted ones for who may read them. */
export function* listXattr(k: Kernel, inode: Inode): Atomic<string[]> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const trusted = capable(k, Cap.SYS_ADMIN);
  return [...(inode.xattrs?.keys() ?? [])].filter((name) => trusted || !name.startsWith("trusted.")).sort().reverse();
}
