import { capable, Cap } from "../kernel/capability.js";
import type { MaySleep } from "../kernel/coroutine.js";
import { actingAs, type Credentials } from "../kernel/cred.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import { S_ISGID, S_ISVTX, type Inode } from "./vfs.js";

/** What is wanted of a file, as access(2) has it; of a directory, EXEC is to go through it. */
export enum May {
  EXEC = 1,
  WRITE = 2,
  READ = 4,
}

export function inGroup({ fsgid, groups }: Credentials, gid: number): boolean {
  return fsgid === gid || groups.includes(gid);
}

/** Whether the current task, by its ids for files, may do all of `mask` (`May`) with a file: 0 or -EACCES. */
export function inodePermission(k: Kernel, inode: Inode, mask: number): number {
  const cred = actingAs(k);
  if (cred === null) return 0;
  let granted = inode.mode;
  if (cred.fsuid === (inode.uid ?? 0)) granted >>= 6;
  else if (inGroup(cred, inode.gid ?? 0)) granted >>= 3;
  if ((mask & ~granted) === 0) return 0;
  const directory = inode.kind === "directory";
  const searches = directory ? (mask & May.WRITE) === 0 : mask === May.READ;
  if (searches && capable(k, Cap.DAC_READ_SEARCH)) return 0;
  // Root too executes only what somebody may execute.
  const overrides = directory || (mask & May.EXEC) === 0 || (inode.mode & 0o111) !== 0;
  return overrides && capable(k, Cap.DAC_OVERRIDE) ? 0 : -Errno.EACCES;
}

/** Whether a file is the current task's own, or it may do as if it were (inode_owner_or_capable()). */
export function ownsInode(k: Kernel, inode: Inode): boolean {
  const cred = actingAs(k);
  return cred === null || cred.fsuid === (inode.uid ?? 0) || capable(k, Cap.FOWNER);
}

/** Whether a name may be made in a directory: 0 or -EACCES. */
export function mayCreate(k: Kernel, dir: Inode): number {
  return inodePermission(k, dir, May.WRITE | May.EXEC);
}

/** Whether a name may be taken out of a directory: 0, -EACCES, or -EPERM where that is sticky, and the file another's. */
export function mayDelete(k: Kernel, dir: Inode, inode: Inode): number {
  const refused = mayCreate(k, dir);
  if (refused < 0 || (dir.mode & S_ISVTX) === 0) return refused;
  return actingAs(k)?.fsuid === (dir.uid ?? 0) || ownsInode(k, inode) ? 0 : -Errno.EPERM;
}

/** A new file is the current task's; its group is the directory's where that says so, and then a directory says so, too. */
export function initOwner(k: Kernel, inode: Inode, dir: Inode | null): void {
  const cred = actingAs(k);
  inode.uid = cred?.fsuid ?? 0;
  inode.gid = cred?.fsgid ?? 0;
  if (dir === null || (dir.mode & S_ISGID) === 0) return;
  inode.gid = dir.gid ?? 0;
  if (inode.kind === "directory") inode.mode |= S_ISGID;
}

/** Runs something by the real ids in place of those for files, as access(2) asks: root has what he is permitted, others nothing. */
export function* byRealIds<T>(k: Kernel, run: () => MaySleep<T>): MaySleep<T> {
  const task = k.m.current!;
  const { process } = task;
  if (process === null) return yield* run();
  const { cred, capabilities } = process;
  const effective = cred.uid === 0 ? capabilities.permitted : 0n;
  task.thread.actingAs = { cred: { ...cred, fsuid: cred.uid, fsgid: cred.gid }, capabilities: { ...capabilities, effective } };
  try {
    return yield* run();
  } finally {
    task.thread.actingAs = null;
  }
}
