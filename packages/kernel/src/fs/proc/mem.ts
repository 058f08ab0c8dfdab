import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { FollFlag } from "../../mm/gup_flags.js";
import type { Mm } from "../../mm/mm_types.js";
import { SEEK_CUR, SEEK_SET, type FileOps, type OpenFile } from "../vfs.js";

/** Bytes done, a page at a time; -EIO where the first of them cannot be reached, 0 when the address space is gone. */
function* access(k: Kernel, mm: Mm, bytes: Uint8Array, pos: number, gup: number): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return 0;
  let done = 0;
  while (done < bytes.length) {
    const part = bytes.subarray(done, Math.min(bytes.length, done + PAGE_SIZE));
    // What is beyond user memory is not mapped, however far.
    const n = pos + done < 0 ? 0 : yield* k.accessRemote.accessRemoteVm(k, mm, pos + done, part, gup);
    if (n === 0) break;
    done += n;
  }
  yield* k.fork.mmput(k, mm);
  return done > 0 || bytes.length === 0 ? done : -Errno.EIO;
}

/** /proc/PID/mem: `file.data` is the address space. Reads and writes what a debugger may: FOLL_FORCE. */
export const MEM_OPS: FileOps = {
  *read(k, file: OpenFile, into, pos) {
    return yield* access(k, file.data as Mm, into, pos, FollFlag.FORCE);
  },

  *write(k, file: OpenFile, from, pos) {
    return yield* access(k, file.data as Mm, from, pos, FollFlag.FORCE | FollFlag.WRITE);
  },

  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if (whence === SEEK_SET) return offset;
    return whence === SEEK_CUR ? file.pos + offset : -Errno.EINVAL;
  },
};
