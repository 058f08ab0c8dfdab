import { Errno, O, Resolve, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct } from "../user.js";
import * as F from "./format.js";
import { AT_FDCWD, fileOf, installOrPut, path } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** struct open_how as it was at first, and as long as any may be, in bytes. */
const OPEN_HOW_SIZE = 24;
const OPEN_HOW_MAX = 4096;

const O_ASYNC = 0o20000;
const O_SYNC = 0o4000000;
const TMPFILE_ALONE = O.TMPFILE & ~O.DIRECTORY;
const OPEN_FLAGS =
  O.ACCMODE | O.CREAT | O.EXCL | O.NOCTTY | O.TRUNC | O.APPEND | O.NONBLOCK | O.DSYNC | O_ASYNC | O.DIRECT | O.LARGEFILE |
  O.DIRECTORY | O.NOFOLLOW | O.NOATIME | O.CLOEXEC | O_SYNC | O.PATH | TMPFILE_ALONE;
const PATH_FLAGS = O.DIRECTORY | O.NOFOLLOW | O.PATH | O.CLOEXEC;
const RESOLVE_FLAGS =
  Resolve.NO_XDEV | Resolve.NO_MAGICLINKS | Resolve.NO_SYMLINKS | Resolve.BENEATH | Resolve.IN_ROOT | Resolve.CACHED;

/** struct open_how. */
interface OpenHow {
  readonly flags: number;
  readonly mode: number;
  readonly resolve: number;
}

function* readHow(t: GuestThread, address: number, size: number): MaySleep<OpenHow | number> {
  if (size < OPEN_HOW_SIZE) return -Errno.EINVAL;
  if (size > OPEN_HOW_MAX) return -Errno.E2BIG;
  const view = yield* readStruct(t.k, address, size);
  if (view === null) return -Errno.EFAULT;
  // What is not known yet must not be asked for.
  for (let at = OPEN_HOW_SIZE; at < size; at++) if (view.getUint8(at) !== 0) return -Errno.E2BIG;
  return { flags: getU64(view, 0), mode: getU64(view, 8), resolve: getU64(view, 16) };
}

/** 0, -EINVAL for bits that are unknown or do not go together, -EAGAIN for what cannot be done without waiting. */
function checkHow({ flags, mode, resolve }: OpenHow): number {
  if (flags >= 2 ** 32 || (flags & ~OPEN_FLAGS) !== 0) return -Errno.EINVAL;
  if (resolve >= 2 ** 32 || (resolve & ~RESOLVE_FLAGS) !== 0) return -Errno.EINVAL;
  if ((resolve & Resolve.BENEATH) !== 0 && (resolve & Resolve.IN_ROOT) !== 0) return -Errno.EINVAL;
  const makes = (flags & (O.CREAT | TMPFILE_ALONE)) !== 0;
  if (makes ? mode > 0o7777 : mode !== 0) return -Errno.EINVAL;
  if ((flags & O.DIRECTORY) !== 0 && (flags & O.CREAT) !== 0) return -Errno.EINVAL;
  if ((flags & TMPFILE_ALONE) !== 0 && ((flags & O.DIRECTORY) === 0 || (flags & O.ACCMODE) === O.RDONLY)) return -Errno.EINVAL;
  if ((flags & O.PATH) !== 0 && (flags & ~PATH_FLAGS) !== 0) return -Errno.EINVAL;
  return (resolve & Resolve.CACHED) !== 0 && (makes || (flags & O.TRUNC) !== 0) ? -Errno.EAGAIN : 0;
}

const openat2: Handler = function* (t, [dirfd, name, address, size]) {
  const { k } = t;
  const how = yield* readHow(t, address!, size!);
  if (typeof how === "number") return how;
  const refused = checkHow(how);
  if (refused < 0) return refused;
  const { flags, mode, resolve } = how;
  const at = yield* path(t, name!);
  if (typeof at === "number") return at;
  // With RESOLVE_IN_ROOT a path from the root is one from the directory.
  const fromRoot = at.startsWith("/") && (resolve & Resolve.IN_ROOT) === 0;
  const base = fromRoot || int(dirfd!) === AT_FDCWD ? null : (fileOf(t, dirfd!) ?? -Errno.EBADF);
  if (typeof base === "number") return base;
  const file = yield* k.m.vfs.open(k, at, flags, mode, base, resolve);
  return typeof file === "number" ? file : yield* installOrPut(t, file, (flags & O.CLOEXEC) !== 0, 0);
};

export const OPENAT2: readonly (readonly [number, Syscall])[] = [[437, call("openat2", [F.DIRFD, F.PATH, F.POINTER, F.SIZE], openat2)]];
