import type { Kernel } from "../kernel.js";
import { OpenFile, type FileOps, type Inode } from "./vfs.js";

/** A file that no directory has, such as eventfd(2) makes: `name` is its kind, in brackets. `flags` are O_*. */
export function anonFile(k: Kernel, name: string, ops: FileOps, flags: number, mode = 0o600): OpenFile {
  const inode: Inode = { ino: k.m.nextPipeIno++, kind: "anon", mode, rdev: 0, size: 0 };
  const file = new OpenFile(`anon_inode:${name}`, inode, ops, flags);
  file.node = { name: file.path, inode, parent: null };
  return file;
}
