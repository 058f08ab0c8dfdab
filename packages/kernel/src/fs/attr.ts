import { capable, Cap } from "../kernel/capability.js";
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { actingAs } from "../kernel/cred.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Seal } from "../mm/shmem_inode.js";
import { inGroup, inodePermission, May, ownsInode } from "./permission.js";
import { S_ISGID, S_ISUID, type Inode } from "./vfs.js";

/** fchmod(2): 0, -EROFS, or -EPERM for another's. A group that one is not in keeps its bit for none. */
export function* chmodInode(k: Kernel, inode: Inode, mode: number): Atomic<number> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (inode.readOnly === true) return -Errno.EROFS;
  if (!ownsInode(k, inode)) return -Errno.EPERM;
  if (((inode.seals ?? 0) & Seal.EXEC) !== 0 && ((inode.mode ^ mode) & 0o111) !== 0) return -Errno.EPERM;
  const cred = actingAs(k);
  const keepsGroup = cred === null || inGroup(cred, inode.gid ?? 0) || capable(k, Cap.FSETID);
  inode.mode = mode & (keepsGroup ? 0o7777 : 0o7777 & ~S_ISGID);
  inode.ctimeNs = k.m.now();
  return 0;
}

/** fchown(2); -1 keeps what there is. 0, -EROFS, -EPERM. What a file would run as is forgotten. */
export function* chownInode(k: Kernel, inode: Inode, uid: number, gid: number): Atomic<number> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (inode.readOnly === true) return -Errno.EROFS;
  const [oldUid, oldGid] = [inode.uid ?? 0, inode.gid ?? 0];
  const cred = actingAs(k);
  const own = cred?.fsuid === oldUid;
  const mayUid = uid === -1 || (own && uid === oldUid);
  const mayGid = gid === -1 || (own && (gid === oldGid || inGroup(cred, gid)));
  if (!(mayUid && mayGid) && !capable(k, Cap.CHOWN)) return -Errno.EPERM;
  if (uid !== -1) inode.uid = uid;
  if (gid !== -1) inode.gid = gid;
  if (inode.kind !== "directory") inode.mode = withoutPrivileges(inode.mode);
  inode.ctimeNs = k.m.now();
  return 0;
}

/** A mode without what makes a program run as somebody else. */
export function withoutPrivileges(mode: number): number {
  const asGroup = (mode & 0o2010) === 0o2010 ? S_ISGID : 0;
  return mode & ~(S_ISUID | asGroup);
}

/** A time for utimensat(2), in nanoseconds of machine time; null for now, undefined to keep what there is. */
export type NewTime = number | null | undefined;

/** utimensat(2): 0, -EROFS, -EPERM, or -EACCES for who sets the times of another's to now, and cannot write to it. */
export function* utimesInode(k: Kernel, inode: Inode, atime: NewTime, mtime: NewTime): Atomic<number> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (atime === undefined && mtime === undefined) return 0;
  if (inode.readOnly === true) return -Errno.EROFS;
  if (!ownsInode(k, inode)) {
    if (atime !== null || mtime !== null) return -Errno.EPERM;
    const refused = inodePermission(k, inode, May.WRITE);
    if (refused < 0) return refused;
  }
  const now = k.m.now();
  if (atime !== undefined) inode.atimeNs = atime ?? now;
  if (mtime !== undefined) inode.mtimeNs = mtime ?? now;
  inode.ctimeNs = now;
  return 0;
}
