import { PAGE_SIZE } from "../mm/frame_memory.js";
import type { PseudoDir, PseudoFs } from "./pseudo.js";
import { seekWithin, type FileOps, type Inode } from "./vfs.js";

/** /sys/kernel/mm/page_idle: a bit for each page frame. A page of it goes at once. */
const BITMAP_FOPS: FileOps = {
  read: (k, _file, into, pos) => k.pageIdle.bitmapRead(k, into.subarray(0, PAGE_SIZE), pos),
  write: (k, _file, from, pos) => k.pageIdle.bitmapWrite(k, from.subarray(0, PAGE_SIZE), pos),
  *llseek(_k, file, offset, whence) {
    yield* [];
    return seekWithin(file, offset, whence);
  },
};

class IdleBitmap implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  mode = 0o600;
  readonly size = 0;
  readonly ino: number;
  readonly ops = BITMAP_FOPS;

  constructor(readonly fs: PseudoFs) {
    this.ino = fs.allocateIno();
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }
}

export function addPageIdle(fs: PseudoFs, mm: PseudoDir): void {
  mm.dir("page_idle").add("bitmap", new IdleBitmap(fs));
}
