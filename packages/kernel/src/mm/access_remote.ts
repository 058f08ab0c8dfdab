/**
 * @linux mm/memory.c, mm/process_vm_access.c
 * @omits Memory of devices that only a driver can read (`generic_access_phys()`).
 * @own readFrame, writeFrame
 */
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
      // What is written may be code: a debugger's breakpoint.
      m.flushIcachePage?.(page);
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
 * the current address space, and `remote`, in another. Bytes done, or if there are none -EFAULT.
 */
export function* processVmRw(k: Kernel, mm: Mm, local: readonly IoVec[], remote: readonly IoVec[], write: boolean): MaySleep<number> {
  const cursor = new Cursor(local);
  const wanted = cursor.left;
  let error = 0;
  for (const { address, length } of remote) {
    if (length > 0 && cursor.left > 0 && error === 0) error = yield* copyVector(k, mm, address, length, cursor, write);
  }
  return wanted > cursor.left ? wanted - cursor.left : error;
}

/** How far the local memory has been used. */
class Cursor {
  left: number;
  private index = 0;
  private offset = 0;

  constructor(private readonly vectors: readonly IoVec[]) {
    this.left = vectors.reduce((sum, { length }) => sum + length, 0);
  }

  /** The next stretch, of at most so many bytes, within a page. */
  next(max: number): IoVec {
    while (this.vectors[this.index]!.length === this.offset) {
      this.index++;
      this.offset = 0;
    }
    const { address, length } = this.vectors[this.index]!;
    const at = address + this.offset;
    return { address: at, length: Math.min(max, length - this.offset, PAGE_SIZE - (at % PAGE_SIZE)) };
  }

  advance(bytes: number): void {
    this.offset += bytes;
    this.left -= bytes;
  }
}

/** Pages that are pinned at once. */
const PINNED_MAX = 1024;

/** One stretch of the other address space: 0 or -EFAULT. All of its pages are had before the first byte is copied. */
function* copyVector(k: Kernel, mm: Mm, address: number, length: number, cursor: Cursor, write: boolean): MaySleep<number> {
  const gup = FollFlag.PIN | FollFlag.UNLOCKABLE | FollFlag.TOUCH | FollFlag.REMOTE | (write ? FollFlag.WRITE : 0);
  const end = Math.ceil((address + length) / PAGE_SIZE);
  let at = address;
  for (let vpn = Math.floor(address / PAGE_SIZE); vpn < end && cursor.left > 0; ) {
    const pages: number[] = [];
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    const pinned = yield* k.gup.gupLocked(k, mm, vpn, Math.min(end - vpn, PINNED_MAX), gup, "process_vm", pages);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (pinned <= 0) return -Errno.EFAULT;
    let error = 0;
    for (const page of pages) {
      const offset = at % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - offset, address + length - at);
      const copied = error === 0 ? yield* copyPage(k, page, offset, n, cursor, write) : 0;
      at += n;
      if (copied < n && cursor.left > 0) error = -Errno.EFAULT;
    }
    for (const page of pages) yield* k.gupPin.unpinUserPage(k, page, write, "process_vm");
    if (error !== 0) return error;
    vpn += pinned;
  }
  return 0;
}

/** Copies what is wanted of a page of the other address space; bytes done. */
function* copyPage(k: Kernel, page: number, offset: number, length: number, cursor: Cursor, write: boolean): MaySleep<number> {
  let done = 0;
  while (done < length && cursor.left > 0) {
    // Page by page of the local memory: what is written may be what is read next, where a process does it to itself.
    const part = cursor.next(length - done);
    let copied: number;
    if (write) {
      const bytes = new Uint8Array(part.length);
      copied = yield* k.uaccess.copyFromUserPart(k, part.address, bytes);
      if (copied > 0) yield* k.accessRemote.writeFrame(k, page, offset + done, bytes.subarray(0, copied));
    } else copied = yield* k.uaccess.copyToUserPart(k, part.address, yield* k.accessRemote.readFrame(k, page, offset + done, part.length));
    cursor.advance(copied);
    done += copied;
    if (copied < part.length) break;
  }
  return done;
}
