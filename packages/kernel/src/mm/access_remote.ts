import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "./frame_memory.js";
import { FollFlag } from "./gup_flags.js";
import type { Mm } from "./mm_types.js";
import { PG } from "./page.js";

/**
 * Copies between a kernel buffer and another address space, as /proc/PID/mem does: with FORCE also what
 * the process itself may not, but a debugger. Bytes done, up to the first page that cannot be had.
 */
export function* accessRemoteVm(k: Kernel, mm: Mm, addr: number, bytes: Uint8Array, gup: number): MaySleep<number> {
  const { m } = k;
  const write = (gup & FollFlag.WRITE) !== 0;
  let done = 0;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const first = Math.floor(addr / PAGE_SIZE);
  if (mm.vmaAt(first) === null) yield* k.mmap.expandStack(k, mm, first);
  while (done < bytes.length) {
    const at = addr + done;
    const offset = at % PAGE_SIZE;
    const n = Math.min(bytes.length - done, PAGE_SIZE - offset);
    const page = yield* k.gup.getUserPageRemote(k, mm, Math.floor(at / PAGE_SIZE), gup, "access_remote");
    if (page < 0) break;
    const folio = m.memmap.folioOf(page);
    if (write) {
      yield* k.accessRemote.writeFrame(k, page, offset, bytes.subarray(done, done + n));
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      m.memmap.set(folio, PG.dirty);
    } else bytes.set(yield* k.accessRemote.readFrame(k, page, offset, n), done);
    yield* k.swap.folioPut(k, folio, "access_remote");
    done += n;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return done;
}

/** A copy of bytes of a page that the caller has a reference to. */
export function* readFrame(k: Kernel, page: number, offset: number, length: number): MaySleep<Uint8Array> {
  if (k.m.point(Op.FrameRead, page)) yield SWITCH;
  return k.m.ram.frame(page).slice(offset, offset + length);
}

export function* writeFrame(k: Kernel, page: number, offset: number, bytes: Uint8Array): MaySleep<void> {
  if (k.m.point(Op.FrameWrite, page)) yield SWITCH;
  k.m.ram.frame(page).set(bytes, offset);
}

/** A stretch of user memory, in bytes. */
export interface IoVec {
  readonly address: number;
  readonly length: number;
}

/**
 * process_vm_readv(2) and process_vm_writev(2), once the arguments are read: copies between `local`, in
 * the current address space, and `remote`, in another, page by page of the other. Bytes done, or if
 * there are none -EFAULT or -ENOMEM. The last page may be done in part.
 */
export function* processVmRw(k: Kernel, mm: Mm, local: readonly IoVec[], remote: readonly IoVec[], write: boolean): MaySleep<number> {
  const cursor = new Cursor(local);
  let done = 0;
  for (const { address, length } of remote) {
    for (let at = address; at < address + length && cursor.left > 0; ) {
      const n = Math.min(address + length - at, PAGE_SIZE - (at % PAGE_SIZE), cursor.left);
      const copied = yield* copyPage(k, mm, at, n, cursor, write);
      done += Math.max(0, copied);
      if (copied < n) return done > 0 ? done : copied < 0 ? copied : -Errno.EFAULT;
      at += n;
    }
  }
  return done;
}

/** How far the local memory has been used. */
class Cursor {
  left: number;
  private index = 0;
  private offset = 0;

  constructor(private readonly vectors: readonly IoVec[]) {
    this.left = vectors.reduce((sum, { length }) => sum + length, 0);
  }

  /** The next stretch, of at most so many bytes. */
  next(max: number): IoVec {
    while (this.vectors[this.index]!.length === this.offset) {
      this.index++;
      this.offset = 0;
    }
    const { address, length } = this.vectors[this.index]!;
    return { address: address + this.offset, length: Math.min(max, length - this.offset) };
  }

  advance(bytes: number): void {
    this.offset += bytes;
    this.left -= bytes;
  }
}

/** Copies what lies in one page of the other address space: bytes done, or a negated errno. */
function* copyPage(k: Kernel, mm: Mm, address: number, length: number, cursor: Cursor, write: boolean): MaySleep<number> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vpn = Math.floor(address / PAGE_SIZE);
  const page = yield* k.gup.getUserPageRemote(k, mm, vpn, FollFlag.PIN | FollFlag.UNLOCKABLE | (write ? FollFlag.WRITE : 0), "process_vm");
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (page < 0) return -Errno.EFAULT;
  let done = 0;
  while (done < length) {
    const part = cursor.next(length - done);
    const offset = (address + done) % PAGE_SIZE;
    let error = 0;
    if (write) {
      const bytes = new Uint8Array(part.length);
      error = yield* k.uaccess.copyFromUser(k, part.address, bytes);
      if (error === 0) yield* k.accessRemote.writeFrame(k, page, offset, bytes);
    } else error = yield* k.uaccess.copyToUser(k, part.address, yield* k.accessRemote.readFrame(k, page, offset, part.length));
    if (error !== 0) break;
    cursor.advance(part.length);
    done += part.length;
  }
  yield* k.gupPin.unpinUserPage(k, page, write, "process_vm");
  return done;
}
