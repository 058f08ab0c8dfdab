import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { VM } from "../mm/mm_types.js";
import { SHMEM_FILE_OPS, shmemZeroSetup } from "../mm/shmem_file.js";
import { makedev, type CharDevice, type FileIter, type FileOps } from "./vfs.js";

const MEM_MAJOR = 1;

/** Everything written is gone. */
const sink: NonNullable<FileOps["write"]> = function* (k, file, from) {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  return from.length;
};

const zeros: NonNullable<FileOps["read"]> = function* (k, file, into) {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  into.fill(0);
  return into.length;
};

/** Machine time of making up a random byte: who reads on and on grows old over it. */
const RANDOM_NS_PER_BYTE = 2;

const randomBytes: NonNullable<FileOps["read"]> = function* (k, file, into) {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  k.m.charge(into.length * RANDOM_NS_PER_BYTE);
  fillRandom(k, into);
  return into.length;
};

/** Random bytes from the machine's choices, for /dev/urandom, getrandom(2) and AT_RANDOM. */
function fillRandom(k: Kernel, into: Uint8Array): void {
  for (let i = 0; i < into.length; i++) into[i] = k.m.choices.pick("random", 256);
}

/** Private memory is anonymous, of the file only the name is left; shared memory has a file of its own behind it. */
const mmapZero: NonNullable<FileOps["mmap"]> = function* (k, file, vma) {
  if ((vma.flags & VM.SHARED) === 0) return 0;
  const backing = shmemZeroSetup(k, vma.pages * PAGE_SIZE);
  vma.file = backing;
  vma.pgoff = 0;
  yield* k.m.vfs.put(k, file);
  return yield* SHMEM_FILE_OPS.mmap!(k, backing, vma);
};

const BOTH: FileIter = { from: "copies", to: true, nowait: true };

/** /dev/null, zero, full, random and urandom. */
export const MEM_DEVICES: readonly CharDevice[] = [
  {
    name: "null",
    rdev: makedev(MEM_MAJOR, 3),
    mode: 0o666,
    ops: {
      *read(k, file) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        return 0;
      },
      write: sink,
      iter: { to: true, nowait: true },
    },
  },
  { name: "zero", rdev: makedev(MEM_MAJOR, 5), mode: 0o666, ops: { read: zeros, write: sink, mmap: mmapZero, iter: BOTH } },
  {
    name: "full",
    rdev: makedev(MEM_MAJOR, 7),
    mode: 0o666,
    ops: {
      read: zeros,
      *write(k, file) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        return -Errno.ENOSPC;
      },
      iter: { from: "copies" },
    },
  },
  { name: "random", rdev: makedev(MEM_MAJOR, 8), mode: 0o666, ops: { read: randomBytes, write: sink, iter: BOTH } },
  { name: "urandom", rdev: makedev(MEM_MAJOR, 9), mode: 0o666, ops: { read: randomBytes, write: sink, iter: BOTH } },
];
