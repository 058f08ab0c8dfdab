import { Errno, O } from "@faultline/kernel";
import { AT, AT_FDCWD, bits, FD, noFd, noMemory, PAGE, values, type Refusal, type Surface, type Surfaces } from "./surface.js";

const { EINVAL, EBADF, EEXIST, ENODEV, ENOENT, ENOTDIR, EISDIR, ESPIPE } = Errno;
const noSuch = (index: number): Refusal => [ENOENT, "no such file", { [index]: "new" }];
const noSuchDirectory = (index: number): Refusal => [ENOENT, "no such directory", { [index]: "missing/new" }];
const throughFile = (index: number): Refusal => [ENOTDIR, "a path through a file", { [index]: "file/new" }];
/** Of a dirfd and the path behind it. */
const at = (index: number): readonly Refusal[] => [
  [EBADF, "no such directory descriptor", { [index]: FD.closed }],
  [ENOTDIR, "descriptor of a file", { [index]: FD.file }],
  noMemory(index + 1),
  throughFile(index + 1),
  [Errno.ENAMETOOLONG, "a path of 4096 bytes", { [index + 1]: "/".repeat(4096) }],
];

/** read, write and their like. */
function transfer(fd: number, wrongWay: number, rest: readonly (number | readonly number[])[], positioned: boolean): Surface {
  return {
    example: [fd, ...rest],
    refuses: [
      noFd(0),
      [EBADF, "opened the other way only", { 0: wrongWay }],
      noMemory(1),
      ...(positioned ? ([[EINVAL, "negative offset", { 3: -1 }], [ESPIPE, "a pipe", { 0: wrongWay === FD.writing ? FD.pipeOut : FD.pipeIn }]] as const) : []),
    ],
  };
}
const VECTOR = [AT.page, 8, AT.page + 8, 8];
function vectored(fd: number, wrongWay: number, positioned: boolean): Surface {
  const plain = transfer(fd, wrongWay, positioned ? [VECTOR, 2, 0] : [VECTOR, 2], positioned);
  return { ...plain, refuses: [...plain.refuses!, [EINVAL, "more than 1024 parts", { 2: 1025 }], [EINVAL, "negative length", { 1: [AT.page, -1, AT.page, 1] }]] };
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
/** struct flock: F_WRLCK, of everything. */
const LOCK = [1, 0, 0, 0];

export const FS: Surfaces = {
  getcwd: { example: [AT.page, PAGE], refuses: [[Errno.ERANGE, "too short", { 1: 3 }], noMemory(0)] },
  dup: { example: [FD.file], refuses: [noFd(0)] },
  dup3: {
    example: [FD.file, 20, 0],
    takes: { 2: bits([0, O.CLOEXEC], EINVAL) },
    refuses: [noFd(0), [EINVAL, "onto itself", { 1: FD.file }], [EBADF, "beyond the limit", { 1: 1 << 24 }]],
  },
  fcntl: {
    example: [FD.file, 1, 0],
    takes: {
      1: values(
        [
          0, 1, 2, 3, 4, [5, { 2: LOCK }], [6, { 2: LOCK }], [7, { 2: LOCK }], 8, 9, 10, 11, [15, { 2: [0] }], [16, { 2: AT.page }], [17, { 2: AT.page }],
          [36, { 2: LOCK }], [37, { 2: LOCK }], [38, { 2: LOCK }], 1025, [1027, { 2: FD.file }], 1028, 1030, [1031, { 0: FD.pipeOut }], [1032, { 0: FD.pipeOut }], 1034,
        ],
        EINVAL,
        [1024, 1033, 1026],
      ),
    },
    refuses: [
      noFd(0),
      [Errno.EPERM, "seals of a file that cannot have more", { 1: 1033 }],
      [EINVAL, "seals of a pipe", { 0: FD.pipeOut, 1: 1034 }],
      [Errno.EPERM, "seals for what is open for reading only", { 0: FD.pipeOut, 1: 1033 }],
      [EINVAL, "F_DUPFD beyond the limit", { 1: 0, 2: 1 << 24 }],
      [EINVAL, "a lock of no type", { 1: 6, 2: [7] }],
      [EINVAL, "F_GETLK of no lock", { 1: 5, 2: [2] }],
      [EBADF, "a lock to write of what is open for reading", { 0: FD.reading, 1: 6, 2: [1] }],
      [Errno.EFAULT, "a lock in memory that is not mapped", { 1: 6, 2: AT.hole }],
      [Errno.EAGAIN, "a lease of what is open elsewhere", { 1: 1024, 2: 1 }],
      [EINVAL, "a lease of a pipe", { 0: FD.pipeOut, 1: 1024 }],
      [Errno.ESRCH, "an owner that is not there", { 1: 8, 2: 4_000_000 }],
      [EINVAL, "a signal that is none", { 1: 10, 2: 65 }],
    ],
  },
  flock: {
    example: [FD.file, 1],
    takes: { 1: values([1, 2, 5, 6, 8, 12, 32, -1, 77 | 32, 12345 | 32], EINVAL, [0x7fff_ffff, 12345]) },
    refuses: [noFd(0), [EINVAL, "shared and exclusive", { 1: 3 }]],
  },
  ioctl: { example: [FD.file, 0x5451, 0], refuses: [noFd(0), [Errno.ENOTTY, "what the file does not know", { 1: 0x1234 }]] },
  mknodat: {
    example: [AT_FDCWD, "new", 0o010600, 0],
    refuses: [
      ...at(0),
      [EEXIST, "there already", { 1: "file" }],
      noSuchDirectory(1),
      [Errno.EPERM, "a directory", { 2: 0o040600 }],
      [EINVAL, "a symbolic link, or a type that is none", { 2: 0o120600 }],
    ],
  },
  mkdirat: { example: [AT_FDCWD, "new", 0o755], refuses: [...at(0), [EEXIST, "there already", { 1: "sub" }], noSuchDirectory(1)] },
  unlinkat: {
    example: [AT_FDCWD, "file", 0],
    takes: { 2: bits([0, [AT_REMOVEDIR, { 1: "sub" }]], EINVAL) },
    refuses: [...at(0), noSuch(1), [EISDIR, "a directory", { 1: "sub" }], [ENOTDIR, "AT_REMOVEDIR and a file", { 2: AT_REMOVEDIR }]],
  },
  symlinkat: { example: ["file", AT_FDCWD, "new"], refuses: [...at(1), [EEXIST, "there already", { 2: "file" }], noMemory(0)] },
  linkat: { example: [AT_FDCWD, "file", AT_FDCWD, "new", 0], refuses: [...at(0), noSuch(1), [EEXIST, "there already", { 3: "link" }]],
    takes: { 4: bits([0, 0x400, [0x1000, { 0: FD.file, 1: "" }]], EINVAL) } },
  renameat: { example: [AT_FDCWD, "file", AT_FDCWD, "new"], refuses: [...at(0), noSuch(1), [EISDIR, "a file onto a directory", { 3: "sub" }]] },
  renameat2: {
    example: [AT_FDCWD, "file", AT_FDCWD, "new", 0],
    refuses: [...at(0), noSuch(1), [EEXIST, "RENAME_NOREPLACE and a name that is there", { 3: "link", 4: 1 }], [ENOENT, "RENAME_EXCHANGE and a name that is not", { 4: 2 }], [EINVAL, "both", { 4: 3 }]],
    takes: { 4: bits([0, 1, [2, { 3: "sub" }]], EINVAL) },
  },
  mount: {
    example: ["none", "/dev/shm", "tmpfs", 0, ""],
    refuses: [[ENODEV, "no such file system", { 2: "none" }], [ENOENT, "no such directory", { 1: "missing" }], [ENOTDIR, "a file", { 1: "/proc/version" }], noMemory(1), [EINVAL, "an option that it does not know", { 2: "hugetlbfs", 4: "none" }]],
  },
  fsopen: {
    example: ["tmpfs", 0],
    takes: { 1: bits([0, 1], EINVAL) },
    refuses: [noMemory(0), [ENODEV, "no such file system", { 0: "none" }]],
  },
  fsconfig: {
    example: [FD.file, 6, 0, 0, 0],
    gives: EINVAL,
    refuses: [noFd(0), [EINVAL, "a file", {}], [EINVAL, "a negative descriptor", { 0: -1 }], [Errno.EOPNOTSUPP, "no such command", { 1: 99 }], [EINVAL, "a key for a command without one", { 2: "key" }]],
  },
  fsmount: {
    example: [FD.file, 0, 0],
    gives: EINVAL,
    refuses: [noFd(0), [EINVAL, "a file", {}], [EINVAL, "unknown flags", { 1: 2 }], [EINVAL, "unknown attributes", { 2: 0x100 }]],
  },
  move_mount: {
    example: [FD.file, "", AT_FDCWD, "sub", 4],
    gives: EINVAL,
    refuses: [noMemory(1), noMemory(3), [ENOENT, "no path, and no MOVE_MOUNT_F_EMPTY_PATH", { 4: 0 }], [EINVAL, "unknown flags", { 4: 0x10000 }]],
  },
  umount2: { example: [".", 0], gives: EINVAL, refuses: [noSuch(0), noMemory(0)] },
  statfs: { example: [".", AT.page], refuses: [noSuch(0), noMemory(0), noMemory(1)] },
  fstatfs: { example: [FD.file, AT.page], refuses: [noFd(0), noMemory(1)] },
  truncate: { example: ["file", 1], refuses: [noSuch(0), [EINVAL, "negative length", { 1: -1 }], [EISDIR, "a directory", { 0: "sub" }], noMemory(0)] },
  fallocate: {
    example: [FD.file, 0, 0, PAGE],
    takes: { 1: bits([0, 1, 3], Errno.EOPNOTSUPP) },
    refuses: [
      noFd(0),
      [EINVAL, "negative offset", { 2: -1 }],
      [EINVAL, "no length", { 3: 0 }],
      [Errno.EOPNOTSUPP, "a hole that changes the size", { 1: 2 }],
      [Errno.EBADF, "opened for reading", { 0: FD.reading }],
      [Errno.ESPIPE, "a pipe", { 0: FD.pipeIn }],
      [Errno.EFBIG, "too large", { 2: Number.MAX_SAFE_INTEGER - 1 }],
    ],
  },
  fadvise64: { example: [FD.file, 0, 0, 0], takes: { 3: values([0, 1, 2, 3, 4, 5], EINVAL) }, refuses: [noFd(0), [Errno.ESPIPE, "a pipe", { 0: FD.pipeOut }]] },
  ftruncate: { example: [FD.file, 1], refuses: [noFd(0), [EINVAL, "negative length", { 1: -1 }], [EINVAL, "opened for reading", { 0: FD.reading }]] },
  faccessat: { example: [AT_FDCWD, "file", 4], refuses: [...at(0), noSuch(1), [EINVAL, "unknown mode", { 2: 8 }]] },
  faccessat2: {
    example: [AT_FDCWD, "file", 4, 0],
    takes: { 3: bits([0, AT_SYMLINK_NOFOLLOW, 0x200, 0x1000], EINVAL) },
    refuses: [...at(0), noSuch(1), [EINVAL, "unknown mode", { 2: 8 }]],
  },
  chdir: { example: ["sub"], refuses: [noSuch(0), [ENOTDIR, "a file", { 0: "file" }], noMemory(0)] },
  fchdir: { example: [FD.directory], refuses: [noFd(0), [ENOTDIR, "a file", { 0: FD.file }]] },
  fchmod: { example: [FD.file, 0o600], refuses: [noFd(0)] },
  fchmodat: { example: [AT_FDCWD, "file", 0o600], refuses: [...at(0), noSuch(1)] },
  fchmodat2: {
    example: [AT_FDCWD, "file", 0o600, 0],
    takes: { 3: bits([0, [0x1000, { 0: FD.file, 1: "" }]], EINVAL, [AT_SYMLINK_NOFOLLOW]) },
    refuses: [...at(0), noSuch(1), [Errno.EOPNOTSUPP, "a symbolic link", { 1: "link", 3: AT_SYMLINK_NOFOLLOW }]],
  },
  fchown: { example: [FD.file, 0, 0], refuses: [noFd(0)] },
  fchownat: {
    example: [AT_FDCWD, "file", 0, 0, 0],
    takes: { 4: bits([0, AT_SYMLINK_NOFOLLOW, [0x1000, { 0: FD.file, 1: "" }]], EINVAL) },
    refuses: [...at(0), noSuch(1)],
  },
  utimensat: {
    example: [AT_FDCWD, "file", [0, 0, 0, 0], 0],
    takes: { 3: bits([0, AT_SYMLINK_NOFOLLOW, [0x1000, { 0: FD.file, 1: "" }]], EINVAL) },
    refuses: [...at(0), noSuch(1), noMemory(2), [EINVAL, "a billion nanoseconds", { 2: [0, 1e9, 0, 0] }]],
  },
  openat: {
    example: [AT_FDCWD, "file", O.RDONLY, 0],
    refuses: [
      ...at(0),
      noSuch(1),
      [EEXIST, "O_CREAT and O_EXCL, and there already", { 2: O.RDWR | O.CREAT | O.EXCL }],
      [EISDIR, "a directory, to be written", { 1: "sub", 2: O.RDWR }],
      [ENOTDIR, "O_DIRECTORY and a file", { 2: O.DIRECTORY }],
      [Errno.ELOOP, "O_NOFOLLOW and a symbolic link", { 1: "link", 2: O.NOFOLLOW }],
      [EINVAL, "O_TMPFILE, and not to be written", { 1: ".", 2: O.TMPFILE }],
    ],
  },
  openat2: {
    example: [AT_FDCWD, "file", [O.RDONLY, 0, 0], 24],
    refuses: [
      ...at(0),
      noSuch(1),
      noMemory(2),
      [EINVAL, "shorter than struct open_how was at first", { 3: 23 }],
      [Errno.E2BIG, "longer than a page", { 3: 4097 }],
      [Errno.E2BIG, "more than is known", { 2: [O.RDONLY, 0, 0, 1], 3: 32 }],
      [EINVAL, "unknown flags", { 2: [0o40, 0, 0] }],
      [EINVAL, "a mode for what is not made", { 2: [O.RDONLY, 0o600, 0] }],
      [EINVAL, "a mode of more than permissions", { 2: [O.RDWR | O.CREAT, 0o100600, 0] }],
      [EINVAL, "O_PATH with flags that it has not", { 2: [O.PATH | O.NONBLOCK, 0, 0] }],
      [EINVAL, "unknown ways to resolve", { 2: [O.RDONLY, 0, 0x40] }],
      [EINVAL, "RESOLVE_BENEATH and RESOLVE_IN_ROOT", { 2: [O.RDONLY, 0, 0x18] }],
      [Errno.EAGAIN, "RESOLVE_CACHED and O_CREAT", { 2: [O.RDWR | O.CREAT, 0o600, 0x20] }],
      [Errno.ELOOP, "RESOLVE_NO_SYMLINKS and a symbolic link", { 1: "link", 2: [O.RDONLY, 0, 4] }],
      [Errno.EXDEV, "RESOLVE_BENEATH and a path out", { 1: "..", 2: [O.RDONLY, 0, 8] }],
      [Errno.EXDEV, "RESOLVE_NO_XDEV and a mount", { 1: "/proc/self", 2: [O.RDONLY, 0, 1] }],
    ],
  },
  close: { example: [FD.file], refuses: [noFd(0)] },
  close_range: { example: [20, 30, 0], takes: { 2: bits([0, 2, 4], EINVAL) }, refuses: [[EINVAL, "the last before the first", { 1: 10 }]] },
  pipe2: { example: [AT.page, 0], takes: { 1: bits([0, O.CLOEXEC, O.NONBLOCK, O.DIRECT], EINVAL, [0o200]) }, refuses: [noMemory(0), [Errno.ENOPKG, "O_NOTIFICATION_PIPE", { 1: 0o200 }]] },
  getdents64: { example: [FD.directory, AT.page, PAGE], refuses: [noFd(0), [ENOTDIR, "a file", { 0: FD.file }], [EINVAL, "too short", { 2: 1 }], noMemory(1)] },
  lseek: { example: [FD.file, 0, 0], takes: { 2: values([0, 1, 2, 3, 4], EINVAL) }, refuses: [noFd(0), [EINVAL, "before the beginning", { 1: -1 }], [ESPIPE, "a pipe", { 0: FD.pipeOut }]] },
  read: transfer(FD.file, FD.writing, [AT.page, 8], false),
  write: transfer(FD.file, FD.reading, [AT.page, 8], false),
  readv: vectored(FD.file, FD.writing, false),
  writev: vectored(FD.file, FD.reading, false),
  pread64: transfer(FD.file, FD.writing, [AT.page, 8, 0], true),
  pwrite64: transfer(FD.file, FD.reading, [AT.page, 8, 0], true),
  preadv: vectored(FD.file, FD.writing, true),
  pwritev: vectored(FD.file, FD.reading, true),
  ppoll: {
    example: [[(1 << 16) * 2 ** 16 + FD.file], 1, [0, 0], 0, 0],
    refuses: [
      noMemory(0),
      noMemory(2),
      [EINVAL, "a billion nanoseconds", { 2: [0, 1_000_000_000] }],
      [EINVAL, "more descriptors than may be open", { 1: 1 << 24 }],
      [EINVAL, "a signal mask of another size", { 3: [0], 4: 4 }],
    ],
  },
  readlinkat: { example: [AT_FDCWD, "link", AT.page, 64], refuses: [...at(0), noSuch(1), [EINVAL, "not a symbolic link", { 1: "file" }], [EINVAL, "no length", { 3: 0 }], noMemory(2)] },
  newfstatat: {
    example: [AT_FDCWD, "file", AT.page, 0],
    takes: { 3: bits([0, AT_SYMLINK_NOFOLLOW, 0x800, [0x1000, { 0: FD.file, 1: "" }]], EINVAL, [0x2000, 0x4000]) },
    refuses: [...at(0), noSuch(1), [ENOENT, "an empty path", { 1: "" }], noMemory(2)],
  },
  fstat: { example: [FD.file, AT.page], refuses: [noFd(0), noMemory(1)] },
  sync: { example: [] },
  fsync: { example: [FD.file], refuses: [noFd(0), [EINVAL, "a pipe", { 0: FD.pipeOut }]] },
  fdatasync: { example: [FD.file], refuses: [noFd(0), [EINVAL, "a pipe", { 0: FD.pipeOut }]] },
  sync_file_range: { example: [FD.file, 0, PAGE, 0], takes: { 3: bits([0, 1, 2, 4], EINVAL) }, refuses: [noFd(0), [EINVAL, "a negative offset", { 1: -1 }], [ESPIPE, "a pipe", { 0: FD.pipeOut }]] },
  syncfs: { example: [FD.file], refuses: [noFd(0)] },
  umask: { example: [0o22] },
  statx: {
    example: [AT_FDCWD, "file", 0, 0x7ff, AT.page],
    takes: { 2: bits([0, AT_SYMLINK_NOFOLLOW, 0x800, [0x1000, { 0: FD.file, 1: "" }]], EINVAL, [0x2000, 0x4000]) },
    refuses: [...at(0), noSuch(1), [ENOENT, "an empty path", { 1: "" }], [EINVAL, "reserved bit of the mask", { 3: 0x8000_0000 }],
      [EINVAL, "AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC", { 2: 0x6000 }], noMemory(4)],
  },
};
