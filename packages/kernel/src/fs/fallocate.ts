import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import type { OpenFile } from "./vfs.js";

/** FALLOC_FL_*: those that files in memory have. */
export enum FallocFl {
  KEEP_SIZE = 1,
  PUNCH_HOLE = 2,
}

/** Modes that some file system has, and those of which one call may have only one. */
const FALLOC_FL_SUPPORTED = 0xfb;
const FALLOC_FL_MODES = 0xfa;
/** COLLAPSE_RANGE, INSERT_RANGE and WRITE_ZEROES, which say themselves what becomes of the size. */
const FALLOC_FL_SIZED = 0xa8;

/** fallocate(2): 0 or a negated errno. */
export function* vfsFallocate(k: Kernel, file: OpenFile, mode: number, offset: number, length: number): MaySleep<number> {
  if (offset < 0 || length <= 0) return -Errno.EINVAL;
  if ((mode & ~FALLOC_FL_SUPPORTED) !== 0) return -Errno.EOPNOTSUPP;
  const exclusive = mode & FALLOC_FL_MODES;
  if ((exclusive & (exclusive - 1)) !== 0) return -Errno.EOPNOTSUPP;
  if ((mode & FallocFl.PUNCH_HOLE) !== 0 && (mode & FallocFl.KEEP_SIZE) === 0) return -Errno.EOPNOTSUPP;
  if ((mode & FALLOC_FL_SIZED) !== 0 && (mode & FallocFl.KEEP_SIZE) !== 0) return -Errno.EOPNOTSUPP;
  if (!file.writable) return -Errno.EBADF;
  if (file.inode.kind === "pipe") return -Errno.ESPIPE;
  if (file.inode.kind !== "file") return -Errno.ENODEV;
  if (offset + length > Number.MAX_SAFE_INTEGER) return -Errno.EFBIG;
  if (file.ops.fallocate === undefined) return -Errno.EOPNOTSUPP;
  const { lock } = file.inode;
  if (lock !== undefined && !lock.tryWrite()) yield* lock.write();
  const result = yield* file.ops.fallocate(k, file, mode, offset, length);
  if (lock !== undefined && !lock.tryUnlock()) yield* lock.unlock();
  return result;
}
