import { capable, Cap } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import type { Inode } from "./vfs.js";

/** What is wanted of a file, as access(2) has it; of a directory, EXEC is to go through it. */
export enum May {
  EXEC = 1,
  WRITE = 2,
  READ = 4,
}

/** Whether the current task, by its id for files, may do all of `mask` (`May`) with a file: 0 or -EACCES. */
export function inodePermission(k: Kernel, inode: Inode, mask: number): number {
  const process = k.m.current?.process ?? null;
  if (process === null) return 0;
  const { fsuid, fsgid, groups } = process.cred;
  const gid = inode.gid ?? 0;
  let granted = inode.mode;
  if (fsuid === (inode.uid ?? 0)) granted >>= 6;
  else if (fsgid === gid || groups.includes(gid)) granted >>= 3;
  if ((mask & ~granted) === 0) return 0;
  const directory = inode.kind === "directory";
  const searches = directory ? (mask & May.WRITE) === 0 : mask === May.READ;
  if (searches && capable(k, Cap.DAC_READ_SEARCH)) return 0;
  // Root too executes only what somebody may execute.
  const overrides = directory || (mask & May.EXEC) === 0 || (inode.mode & 0o111) !== 0;
  return overrides && capable(k, Cap.DAC_OVERRIDE) ? 0 : -Errno.EACCES;
}
