import { capable, Cap } from "../kernel/capability.js";
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { newFileSystem, type NewFileSystem } from "./mount.js";
import type { FileSystem } from "./namei.js";
import { O, OpenFile, type FileOps } from "./vfs.js";

/** What is set about a file system that is about to be (fsopen(2)). */
class FsContext {
  source: string | null = null;
  readonly options: string[] = [];
  /** CMD_CREATE has made it: nothing can be set any more. */
  created: NewFileSystem | null = null;
  /** fsmount(2) has mounted it. */
  mounted = false;

  constructor(readonly type: string) {}
}

/** A mount that is nowhere yet, or was once. */
class DetachedMount {
  attached = false;

  constructor(readonly fs: FileSystem) {}
}

const TYPES: ReadonlySet<string> = new Set(["tmpfs", "hugetlbfs"]);

/** fsopen(2) of a type: -EPERM, -ENODEV. */
export function fsopen(k: Kernel, type: string): OpenFile | number {
  if (!TYPES.has(type)) return -Errno.ENODEV;
  const file = anonFile(k, "[fscontext]", CONTEXT_OPS, O.RDWR);
  file.data = new FsContext(type);
  return file;
}

export function isFsContext(file: OpenFile): boolean {
  return file.data instanceof FsContext;
}

/** FSCONFIG_SET_FLAG (`value` null) and FSCONFIG_SET_STRING: -EINVAL, -EBUSY once it has been made. */
export function* fsconfigSet(k: Kernel, file: OpenFile, key: string, value: string | null): MaySleep<number> {
  const context = file.data as FsContext;
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (context.created !== null) return -Errno.EBUSY;
  if (key === "source") {
    if (value === null || context.source !== null) return -Errno.EINVAL;
    context.source = value;
    return 0;
  }
  if (key === "rw" && value === null) return 0;
  const option = value === null ? key : `${key}=${value}`;
  // Each is looked at by itself, as soon as it is set.
  const made = yield* newFileSystem(k, context.type, "none", option);
  if (typeof made === "number") return -Errno.EINVAL;
  yield* made.discard(k);
  context.options.push(option);
  return 0;
}

/** FSCONFIG_CMD_CREATE: -EBUSY once it has been made. */
export function* fsconfigCreate(k: Kernel, file: OpenFile): MaySleep<number> {
  const context = file.data as FsContext;
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (context.created !== null) return -Errno.EBUSY;
  const made = yield* newFileSystem(k, context.type, context.source ?? "none", context.options.join(","));
  if (typeof made === "number") return made;
  context.created = made;
  return 0;
}

/** fsmount(2): a descriptor of its top directory, at which it can be used already. -EINVAL for what has not been made, -EBUSY. */
export function* fsmount(k: Kernel, file: OpenFile, options: string): MaySleep<OpenFile | number> {
  const context = file.data as FsContext;
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (context.created === null) return -Errno.EINVAL;
  if (context.mounted) return -Errno.EBUSY;
  context.mounted = true;
  const mount = new DetachedMount(context.created.make(k.m.vfs.allocateDev(), options));
  const top = new OpenFile("/", mount.fs.root, MOUNT_OPS, O.PATH);
  top.node = { name: "", inode: mount.fs.root, parent: null };
  top.data = mount;
  return top;
}

/** move_mount(2) of such a descriptor to a path: -ELOOP for what is somewhere already, -EINVAL for no mount, and what mounting refuses. */
export function* moveMount(k: Kernel, from: OpenFile, path: string, base: OpenFile | null): MaySleep<number> {
  const mount = from.data;
  if (!(mount instanceof DetachedMount)) return -Errno.EINVAL;
  if (mount.attached) return -Errno.ELOOP;
  const error = yield* k.m.vfs.mountAt(k, path, () => mount.fs, base);
  mount.attached = error === 0;
  return error;
}

/** May the current task mount anything? */
export function mayMount(k: Kernel): boolean {
  return capable(k, Cap.SYS_ADMIN);
}

const CONTEXT_OPS: FileOps = {
  stream: true,
  /** What went wrong, in words: nothing is kept. */
  *read(k, file) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    return -Errno.ENODATA;
  },
  *release(k, file) {
    const { created, mounted } = file.data as FsContext;
    if (created !== null && !mounted) yield* created.discard(k);
  },
};

const MOUNT_OPS: FileOps = {
  *release(k, file) {
    const { attached, fs } = file.data as DetachedMount;
    if (!attached && fs.umounted !== undefined) yield* fs.umounted(k);
  },
};
