import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import type { AddressSpace } from "../mm/address_space.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { FollFlag } from "../mm/gup_flags.js";
import type { IoVec } from "../mm/access_remote.js";
import { NO_PAGE } from "../mm/page.js";
import { Sgp } from "../mm/shmem.js";
import { shmemInode } from "../mm/shmem_inode.js";
import { HostInode } from "./host_fs.js";
import { changed, clearNowait, dropFirst, pipeOf, type Pipe, type PipeBuffer } from "./pipe.js";
import { O, type OpenFile } from "./vfs.js";

/** Bytes that go from one file to another at a time: what a pipe in between would have room for. */
const DIRECT_CHUNK = 16 * PAGE_SIZE;

/** Bytes that one call copies into a pipe, which may have been made much larger. */
const COPIED_MAX = 1 << 20;

/** A page that a pipe is to have: its reference is the pipe's. Or bytes where there is no such page. */
type Piece = Pick<PipeBuffer, "bytes" | "page" | "start" | "length">;

function push(pipe: Pipe, piece: Piece): void {
  pipe.buffers.push({ ...piece, packet: false, merge: false });
}

/** Waits for something in a pipe: 1 where there is, 0 where nobody can write any more. */
function* waitForData(k: Kernel, file: OpenFile, pipe: Pipe, nonblock: boolean): MaySleep<number> {
  for (;;) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if (pipe.buffers.length > 0) return 1;
    if (pipe.writers === 0) return 0;
    if (nonblock) return -Errno.EAGAIN;
    if (!(yield* pipe.forReaders.sleep(TaskState.Interruptible, "splice"))) return -Restart.ERESTARTSYS;
  }
}

/** Waits for room in a pipe: 0, or a negated errno; -EPIPE where nobody reads. */
function* waitForSpace(k: Kernel, file: OpenFile, pipe: Pipe, nonblock: boolean): MaySleep<number> {
  for (;;) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if (pipe.readers === 0) return -Errno.EPIPE;
    if (!pipe.full) return 0;
    if (nonblock) return -Errno.EAGAIN;
    if (!(yield* pipe.forWriters.sleep(TaskState.Interruptible, "splice"))) return -Restart.ERESTARTSYS;
  }
}

/** The page of a file at a position, referenced for a pipe, or what stands for a hole; null at the end of the file. */
function* pieceAt(k: Kernel, file: OpenFile, pos: number, length: number): MaySleep<Piece | number | null> {
  const { m } = k;
  const { inode } = file;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  const start = pos % PAGE_SIZE;
  const n = Math.min(length, PAGE_SIZE - start, inode.size - pos);
  if (n <= 0) return null;
  const index = Math.floor(pos / PAGE_SIZE);
  const found = yield* readPage(k, file, index);
  if (found === -Errno.EINVAL) return null;
  if (found === NO_PAGE) return { bytes: new Uint8Array(PAGE_SIZE), page: -1, start, length: n };
  if (typeof found === "number") return found;
  const folio = m.memmap.folioOf(found.page);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioMarkAccessed(k, folio);
  return { bytes: null, page: found.page, start, length: n };
}

/** A page of the page cache, locked; NO_PAGE for a hole. */
function* readPage(k: Kernel, file: OpenFile, index: number): MaySleep<{ readonly page: number } | number> {
  const shmem = shmemInode(file);
  if (shmem !== null) return yield* k.shmem.shmemGetPage(k, shmem, index, Sgp.Read, "pipe");
  const inode = file.inode as HostInode;
  const mapping: AddressSpace = inode.pageCache(k);
  return yield* k.filemap.readMappingPage(k, mapping, inode, index, "pipe");
}

/** From a file into a pipe: bytes, 0 at the end, or a negated errno. What there is room for at once, and no more. */
function* fileToPipe(k: Kernel, file: OpenFile, pos: number, out: OpenFile, length: number, nonblock: boolean): MaySleep<number> {
  const pipe = pipeOf(out)!;
  clearNowait(out);
  const error = yield* waitForSpace(k, out, pipe, nonblock);
  if (error < 0) return error;
  const from = file.ops.iter?.from;
  if (from === undefined) return -Errno.EINVAL;
  const max = Math.min(length, (pipe.slots - pipe.buffers.length) * PAGE_SIZE);
  let done = 0;
  if (from === "copies" || (file.flags & O.DIRECT) !== 0) {
    const bytes = new Uint8Array(Math.min(max, COPIED_MAX));
    done = yield* k.m.vfs.read(k, file, bytes, file.ops.stream === true ? undefined : pos);
    if (done <= 0) return done;
    if (k.m.point(Op.Inode, out.inode.ino)) yield SWITCH;
    for (let at = 0; at < done; at += PAGE_SIZE) push(pipe, { bytes: bytes.slice(at, at + PAGE_SIZE), page: -1, start: 0, length: Math.min(PAGE_SIZE, done - at) });
    changed(k, pipe, pipe.forReaders);
    return done;
  }
  while (done < max) {
    const piece = yield* pieceAt(k, file, pos + done, max - done);
    if (piece === null) break;
    if (typeof piece === "number") return done > 0 ? done : piece;
    if (k.m.point(Op.Inode, out.inode.ino)) yield SWITCH;
    if (pipe.full) {
      if (piece.page >= 0) yield* k.swap.folioPut(k, k.m.memmap.folioOf(piece.page), "pipe");
      break;
    }
    push(pipe, piece);
    changed(k, pipe, pipe.forReaders);
    done += piece.length;
  }
  return done;
}

/** From a pipe into a file, at a position or (undefined) wherever it is: bytes, or a negated errno. */
function* pipeToFile(k: Kernel, from: OpenFile, file: OpenFile, pos: number | undefined, length: number, nonblock: boolean): MaySleep<number> {
  const pipe = pipeOf(from)!;
  clearNowait(from);
  if (file.ops.iter?.to !== true) return -Errno.EINVAL;
  let done = 0;
  while (done < length) {
    const there = done > 0 && pipe.buffers.length === 0 ? 0 : yield* waitForData(k, from, pipe, nonblock);
    if (there <= 0) return done > 0 ? done : there;
    const bytes = new Uint8Array(Math.min(length - done, pipe.length));
    const n = yield* from.ops.read!(k, from, bytes, 0);
    if (n <= 0) return done > 0 ? done : n;
    const written = yield* k.m.vfs.write(k, file, bytes.subarray(0, n), pos === undefined ? undefined : pos + done);
    if (written < n) from.ops.unread!(k, from, bytes.subarray(Math.max(written, 0), n));
    if (written <= 0) return done > 0 ? done : written;
    done += written;
    if (written < n) break;
  }
  return done;
}

/** From one pipe into another, its first pages (`keep`: which stay there, too). */
function* pipeToPipe(k: Kernel, from: OpenFile, out: OpenFile, length: number, nonblock: boolean, keep: boolean): MaySleep<number> {
  const { m } = k;
  const [source, target] = [pipeOf(from)!, pipeOf(out)!];
  clearNowait(from);
  clearNowait(out);
  for (let done = 0, i = 0; ; ) {
    const there = yield* waitForData(k, from, source, nonblock);
    if (there <= 0) return there;
    const error = yield* waitForSpace(k, out, target, nonblock);
    if (error < 0) return error;
    if (m.point(Op.Inode, from.inode.ino)) yield SWITCH;
    while (done < length && !target.full && source.buffers.length > i) {
      m.touches(Op.Inode, out.inode.ino);
      const buffer = source.buffers[i]!;
      const n = Math.min(buffer.length, length - done);
      const whole = n === buffer.length && !keep;
      if (whole) target.buffers.push(source.buffers.shift()!);
      else {
        const { bytes, page, start } = buffer;
        if (page >= 0) {
          // It cannot go: the buffer here has a reference.
          const folio = m.memmap.folioOf(page);
          m.touches(Op.RefGet, folio);
          m.memmap.refcount[folio]!++;
          m.refs?.get(folio, "pipe");
        }
        target.buffers.push({ bytes, page, start, length: n, packet: buffer.packet, merge: false });
        if (!keep) {
          buffer.start += n;
          buffer.length -= n;
        }
      }
      if (keep) i++;
      done += n;
    }
    if (done === 0) continue;
    changed(k, target, target.forReaders);
    if (!keep) changed(k, source, source.forWriters);
    return done;
  }
}

/** A file with the position that a call names; null where the file's own counts, and moves. */
export interface SplicePlace {
  readonly file: OpenFile;
  readonly pos: number | null;
}

/** splice(2), flags known: bytes, or a negated errno. -EPIPE is for a signal, too. */
export function* splice(k: Kernel, from: SplicePlace, to: SplicePlace, length: number, nonblock: boolean): MaySleep<number> {
  const [input, output] = [from.file, to.file];
  if (!input.readable || !output.writable) return -Errno.EBADF;
  const [source, target] = [pipeOf(input), pipeOf(output)];
  const slow = (file: OpenFile): boolean => (file.flags & O.NONBLOCK) !== 0;
  if (source !== null && target !== null) {
    if (source === target) return -Errno.EINVAL;
    return yield* pipeToPipe(k, input, output, length, nonblock || slow(input) || slow(output), false);
  }
  if (source !== null) {
    if ((output.flags & O.APPEND) !== 0) return -Errno.EINVAL;
    return yield* pipeToFile(k, input, output, placeIn(to), length, nonblock || slow(input));
  }
  if (target === null) return -Errno.EINVAL;
  const n = yield* fileToPipe(k, input, from.pos ?? input.pos, output, length, nonblock || slow(output));
  if (n > 0 && from.pos === null) input.pos += n;
  return n;
}

/** Where a write goes: streams have no positions. */
function placeIn({ file, pos }: SplicePlace): number | undefined {
  return file.ops.stream === true || pos === null ? undefined : pos;
}

/** tee(2): what is in a pipe goes into another as well. */
export function* tee(k: Kernel, from: OpenFile, to: OpenFile, length: number, nonblock: boolean): MaySleep<number> {
  if (!from.readable || !to.writable) return -Errno.EBADF;
  const [source, target] = [pipeOf(from), pipeOf(to)];
  if (source === null || target === null || source === target) return -Errno.EINVAL;
  return yield* pipeToPipe(k, from, to, length, nonblock || ((from.flags | to.flags) & O.NONBLOCK) !== 0, true);
}

/** From file to file, as through a pipe of one's own: bytes, or a negated errno. */
function* direct(k: Kernel, from: SplicePlace, to: SplicePlace, length: number): MaySleep<number> {
  const pos = from.pos ?? from.file.pos;
  const place = placeIn({ file: to.file, pos: to.pos ?? to.file.pos });
  let done = 0;
  while (done < length) {
    const bytes = new Uint8Array(Math.min(length - done, DIRECT_CHUNK));
    const n = yield* k.m.vfs.read(k, from.file, bytes, pos + done);
    if (n <= 0) return done > 0 ? done : n;
    const written = yield* k.m.vfs.write(k, to.file, bytes.subarray(0, n), place === undefined ? undefined : place + done, false);
    if (written <= 0) return done > 0 ? done : written;
    done += written;
    if (written < n) break;
  }
  return done;
}

/** Moves the positions of files that have had their own used. */
function advance(n: number, ...places: readonly SplicePlace[]): void {
  if (n > 0) for (const { file, pos } of places) if (pos === null && file.ops.stream !== true) file.pos += n;
}

/** sendfile(2): bytes, or a negated errno. */
export function* sendfile(k: Kernel, from: SplicePlace, output: OpenFile, length: number): MaySleep<number> {
  const input = from.file;
  const nonblock = (input.flags & O.NONBLOCK) !== 0;
  const to: SplicePlace = { file: output, pos: null };
  if (pipeOf(output) !== null) {
    const n = yield* fileToPipe(k, input, from.pos ?? input.pos, output, length, nonblock || (output.flags & O.NONBLOCK) !== 0);
    advance(n, from);
    return n;
  }
  if ((output.flags & O.APPEND) !== 0 || input.ops.stream === true) return -Errno.EINVAL;
  if (input.ops.iter?.from === undefined || output.ops.iter?.to !== true) return -Errno.EINVAL;
  const n = yield* direct(k, from, to, length);
  advance(n, from, to);
  return n;
}

/** copy_file_range(2), of two files of one file system: bytes, or a negated errno. */
export function* copyFileRange(k: Kernel, from: SplicePlace, to: SplicePlace, length: number): MaySleep<number> {
  const [input, output] = [from.file, to.file];
  const kinds = [input.inode.kind, output.inode.kind];
  if (kinds.includes("directory")) return -Errno.EISDIR;
  if (kinds.some((kind) => kind !== "file")) return -Errno.EINVAL;
  if (!input.readable || !output.writable || (output.flags & O.APPEND) !== 0) return -Errno.EBADF;
  if (input.inode.dev !== output.inode.dev) return -Errno.EXDEV;
  const [pos, end] = [from.pos ?? input.pos, to.pos ?? output.pos];
  if (pos + length >= 2 ** 63 || end + length >= 2 ** 63) return -Errno.EOVERFLOW;
  if (k.m.point(Op.Inode, input.inode.ino)) yield SWITCH;
  const n = Math.min(length, Math.max(input.inode.size - pos, 0));
  if (input.inode === output.inode && Math.abs(pos - end) < n) return -Errno.EINVAL;
  if (n === 0) return 0;
  if (input.ops.iter?.from === undefined || output.ops.iter?.to !== true) return -Errno.EINVAL;
  const done = yield* direct(k, from, to, n);
  advance(done, from, to);
  return done;
}

/* vmsplice(2). */

/**
 * Into a pipe: pages of the current address space go there as they are, and are read as they are then. As
 * many as there is room for; a negated errno where not one could go.
 */
export function* vmspliceToPipe(k: Kernel, file: OpenFile, ranges: readonly IoVec[], nonblock: boolean): MaySleep<number> {
  const pipe = pipeOf(file)!;
  clearNowait(file);
  const error = yield* waitForSpace(k, file, pipe, nonblock);
  if (error < 0) return error;
  let done = 0;
  for (const { address, length } of ranges) {
    for (let at = address; at < address + length; ) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      if (pipe.full) return done;
      const page = yield* k.gup.getUserPageFast(k, Math.floor(at / PAGE_SIZE), FollFlag.GET, "pipe");
      if (page < 0) return done > 0 ? done : page;
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      const start = at % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - start, address + length - at);
      push(pipe, { bytes: null, page, start, length: n });
      changed(k, pipe, pipe.forReaders);
      done += n;
      at += n;
    }
  }
  return done;
}

/** Out of a pipe, as copies: a page of it all or not at all. */
export function* vmspliceFromPipe(k: Kernel, file: OpenFile, ranges: readonly IoVec[], nonblock: boolean): MaySleep<number> {
  const { m } = k;
  const pipe = pipeOf(file)!;
  clearNowait(file);
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  for (let done = 0; done < total; ) {
    const there = done > 0 && pipe.buffers.length === 0 ? 0 : yield* waitForData(k, file, pipe, nonblock);
    if (there <= 0) return done > 0 ? done : there;
    const buffer = pipe.buffers[0]!;
    const bytes = new Uint8Array(Math.min(buffer.length, total - done));
    if (buffer.page >= 0 && m.point(Op.FrameRead, buffer.page)) yield SWITCH;
    bytes.set((buffer.bytes ?? m.ram.frame(buffer.page)).subarray(buffer.start, buffer.start + bytes.length));
    if (!(yield* deliver(k, ranges, done, bytes))) return done > 0 ? done : -Errno.EFAULT;
    if (m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    buffer.start += bytes.length;
    buffer.length -= bytes.length;
    if (buffer.length === 0) yield* dropFirst(k, pipe);
    changed(k, pipe, pipe.forWriters);
    done += bytes.length;
  }
  return total;
}

/** Copies to user memory what is `skip` bytes into the ranges; false for a bad address. */
function* deliver(k: Kernel, ranges: readonly IoVec[], skip: number, bytes: Uint8Array): MaySleep<boolean> {
  let before = 0;
  let done = 0;
  for (const { address, length } of ranges) {
    const from = Math.max(skip + done - before, 0);
    const n = Math.min(length - from, bytes.length - done);
    before += length;
    if (n <= 0) continue;
    if ((yield* k.uaccess.copyToUser(k, address + from, bytes.subarray(done, done + n))) < 0) return false;
    done += n;
  }
  return true;
}
