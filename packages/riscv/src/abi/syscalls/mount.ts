import { Errno, fsconfigCreate, fsconfigSet, fsmount, fsopen, isFsContext, mayMount, mount, mountOptions, moveMount, umount, type MaySleep, type OpenFile } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { AT_FDCWD, fileOf, installOrPut, path, pathAt } from "./fs.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const mountHandler: Handler = function* (t, [source, target, type, flags, data]) {
  const words: string[] = [];
  for (const address of [source!, target!, type!, data!]) {
    const text = address === 0 ? "" : yield* path(t, address);
    if (typeof text === "number") return text;
    words.push(text);
  }
  return yield* mount(t.k, words[0]!, words[1]!, words[2]!, int(flags!), words[3]!);
};

const umount2: Handler = function* (t, [target, flags]) {
  const text = yield* path(t, target!);
  return typeof text === "number" ? text : yield* umount(t.k, text, int(flags!));
};

/** FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC. */
const CLOEXEC = 1;

const fsopen_: Handler = function* (t, [name, flags]) {
  if (!mayMount(t.k)) return -Errno.EPERM;
  if ((int(flags!) & ~CLOEXEC) !== 0) return -Errno.EINVAL;
  const type = yield* path(t, name!);
  if (typeof type === "number") return type;
  const file = fsopen(t.k, type);
  return typeof file === "number" ? file : yield* installOrPut(t, file, int(flags!) === CLOEXEC, 0);
};

enum FsConfig {
  SET_FLAG,
  SET_STRING,
  SET_BINARY,
  SET_PATH,
  SET_PATH_EMPTY,
  SET_FD,
  CMD_CREATE,
  CMD_RECONFIGURE,
  CMD_CREATE_EXCL,
}

/** Whether a command has just the arguments that it takes. */
function argumentsFit(command: FsConfig, key: number, value: number, aux: number): boolean {
  switch (command) {
    case FsConfig.SET_FLAG:
      return key !== 0 && value === 0 && aux === 0;
    case FsConfig.SET_STRING:
      return key !== 0 && value !== 0 && aux === 0;
    case FsConfig.SET_BINARY:
      return key !== 0 && value !== 0 && aux > 0 && aux <= 1 << 20;
    case FsConfig.SET_PATH:
    case FsConfig.SET_PATH_EMPTY:
      return key !== 0 && value !== 0 && (aux === AT_FDCWD || aux >= 0);
    case FsConfig.SET_FD:
      return key !== 0 && value === 0 && aux >= 0;
    case FsConfig.CMD_CREATE:
    case FsConfig.CMD_CREATE_EXCL:
    case FsConfig.CMD_RECONFIGURE:
      return key === 0 && value === 0 && aux === 0;
  }
}

const fsconfig: Handler = function* (t, [fd, cmd, key, value, aux]) {
  const command = int(cmd!);
  if (int(fd!) < 0) return -Errno.EINVAL;
  if (FsConfig[command] === undefined) return -Errno.EOPNOTSUPP;
  if (!argumentsFit(command, key!, value!, int(aux!))) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if (!isFsContext(file)) return -Errno.EINVAL;
  if (command === (FsConfig.CMD_CREATE as number) || command === (FsConfig.CMD_CREATE_EXCL as number)) return yield* fsconfigCreate(t.k, file);
  if (command === (FsConfig.CMD_RECONFIGURE as number)) return -Errno.EBUSY;
  const name = yield* path(t, key!);
  if (typeof name === "number") return name;
  if (command === (FsConfig.SET_FLAG as number)) return yield* fsconfigSet(t.k, file, name, null);
  // No option here is anything but a flag or text.
  if (command !== (FsConfig.SET_STRING as number)) return -Errno.EINVAL;
  const text = yield* path(t, value!);
  return typeof text === "number" ? text : yield* fsconfigSet(t.k, file, name, text);
};

enum MountAttr {
  NOSUID = 2,
  NODEV = 4,
  NOEXEC = 8,
  NOATIME = 0x10,
  STRICTATIME = 0x20,
  ATIME = 0x70,
  NODIRATIME = 0x80,
}

const fsmount_: Handler = function* (t, [fd, flags, attributes]) {
  if (!mayMount(t.k)) return -Errno.EPERM;
  const attr = int(attributes!);
  const known = MountAttr.NOSUID | MountAttr.NODEV | MountAttr.NOEXEC | MountAttr.ATIME | MountAttr.NODIRATIME;
  if ((int(flags!) & ~CLOEXEC) !== 0 || (attr & ~known) !== 0) return -Errno.EINVAL;
  const atime = { 0: "relatime", [MountAttr.NOATIME]: "noatime", [MountAttr.STRICTATIME]: "" }[attr & MountAttr.ATIME];
  if (atime === undefined) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if (!isFsContext(file)) return -Errno.EINVAL;
  const options = mountOptions((attr & MountAttr.NOSUID) !== 0, (attr & MountAttr.NODEV) !== 0, (attr & MountAttr.NOEXEC) !== 0, atime);
  const top = yield* fsmount(t.k, file, options);
  return typeof top === "number" ? top : yield* installOrPut(t, top, int(flags!) === CLOEXEC, 0);
};

const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOVE_MOUNT_MASK = 0x377;

/** What is to be moved: a mount that has no path is named by its descriptor alone. */
function* mountToMove(t: GuestThread, dirfd: number, name: number, flags: number): MaySleep<OpenFile | number> {
  const text = yield* path(t, name);
  if (typeof text === "number") return text;
  if (text !== "") return -Errno.EINVAL;
  if ((flags & MOVE_MOUNT_F_EMPTY_PATH) === 0) return -Errno.ENOENT;
  return fileOf(t, dirfd) ?? -Errno.EBADF;
}

const move_mount: Handler = function* (t, [fromFd, from, toFd, to, flags]) {
  if (!mayMount(t.k)) return -Errno.EPERM;
  if ((int(flags!) & ~MOVE_MOUNT_MASK) !== 0) return -Errno.EINVAL;
  const target = yield* pathAt(t, toFd!, to!);
  if (typeof target === "number") return target;
  const mountFile = yield* mountToMove(t, fromFd!, from!, int(flags!));
  return typeof mountFile === "number" ? mountFile : yield* moveMount(t.k, mountFile, target.path, target.base);
};

const FSCONFIG_COMMAND = F.oneOf(Object.fromEntries(Object.entries(FsConfig).filter(([, value]) => typeof value === "number").map(([name, value]) => [value, `FSCONFIG_${name}`])));

export const MOUNT: readonly (readonly [number, Syscall])[] = [
  [39, call("umount2", [F.PATH, F.HEX], umount2)],
  [40, call("mount", [F.PATH, F.PATH, F.PATH, F.HEX, F.PATH], mountHandler, "hugetlbfs and tmpfs, no bind mounts; nr_inodes of tmpfs is no limit")],
  [429, call("move_mount", [F.DIRFD, F.PATH, F.DIRFD, F.PATH, F.HEX], move_mount, "only what fsmount() has made")],
  [430, call("fsopen", [F.PATH, F.HEX], fsopen_, "hugetlbfs and tmpfs")],
  [431, call("fsconfig", [F.INT, FSCONFIG_COMMAND, F.PATH, F.POINTER, F.INT], fsconfig, "no ro; what is wrong is not told in words")],
  [432, call("fsmount", [F.INT, F.HEX, F.HEX], fsmount_)],
];
