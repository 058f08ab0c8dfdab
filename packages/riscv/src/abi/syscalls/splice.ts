import { cachestat, copyFileRange, Errno, isPipe, MAX_RW_COUNT, O, sendfile, splice, tee, vmspliceFromPipe, vmspliceToPipe, type MaySleep, type OpenFile } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, readStruct, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, sigpipe } from "./fs.js";
import { importIoVecs } from "./process_vm.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const SPLICE_F_NONBLOCK = 2;
const SPLICE_F_ALL = 0x0f;

const nonblocking = (flags: number): boolean => (flags & SPLICE_F_NONBLOCK) !== 0;

/** A length of 64 bits as far as one call takes it. */
const most = (length: number): number => (length < 0 ? MAX_RW_COUNT : Math.min(length, MAX_RW_COUNT));

/** The position at an address; null for the file's own. -EFAULT. */
function* positionAt(t: GuestThread, address: number): MaySleep<{ readonly pos: number | null } | number> {
  if (address === 0) return { pos: null };
  const view = yield* readStruct(t.k, address, 8);
  return view === null ? -Errno.EFAULT : { pos: getI64(view, 0) };
}

/** Tells a position that has moved by what was done. */
function* tell(t: GuestThread, address: number, pos: number | null, done: number): MaySleep<number> {
  return pos === null || done < 0 ? 0 : yield* t.k.uaccess.putUser64(t.k, address, BigInt(pos + done));
}

/** Does something with two files, which stay open meanwhile; with a signal where a pipe has no reader. */
function* withBoth(t: GuestThread, input: OpenFile, output: OpenFile, act: () => MaySleep<number>): MaySleep<number> {
  const { k } = t;
  k.m.vfs.get(input);
  k.m.vfs.get(output);
  const n = yield* act();
  yield* k.m.vfs.put(k, output);
  yield* k.m.vfs.put(k, input);
  if (n === -Errno.EPIPE) yield* sigpipe(t);
  return n;
}

/** What two files with a position each are asked for: splice(2) and copy_file_range(2). */
type Between = typeof copyFileRange;

function* between(t: GuestThread, args: readonly number[], move: Between): MaySleep<number> {
  const [fdIn, offIn, fdOut, offOut, length] = args as [number, number, number, number, number, number];
  const input = fileOf(t, fdIn);
  const output = fileOf(t, fdOut);
  if (input === null || output === null) return -Errno.EBADF;
  if ((offIn !== 0 && isPipe(input)) || (offOut !== 0 && isPipe(output))) return -Errno.ESPIPE;
  const target = yield* positionAt(t, offOut);
  if (typeof target === "number") return target;
  const source = yield* positionAt(t, offIn);
  if (typeof source === "number") return source;
  if ((source.pos ?? 0) < 0 || (target.pos ?? 0) < 0) return -Errno.EINVAL;
  if ((source.pos !== null && input.ops.stream === true) || (target.pos !== null && output.ops.stream === true)) return -Errno.EINVAL;
  const from = { file: input, pos: source.pos };
  const to = { file: output, pos: target.pos };
  const n = yield* withBoth(t, input, output, () => move(t.k, from, to, most(length)));
  const error = (yield* tell(t, offOut, target.pos, n)) || (yield* tell(t, offIn, source.pos, n));
  return error < 0 ? error : n;
}

const splice_: Handler = function* (t, args) {
  const flags = int(args[5]!);
  if (args[4] === 0) return 0;
  if ((flags & ~SPLICE_F_ALL) !== 0) return -Errno.EINVAL;
  return yield* between(t, args, (k, from, to, length) => splice(k, from, to, length, nonblocking(flags)));
};

const copy_file_range: Handler = function* (t, args) {
  if (fileOf(t, args[0]!) === null || fileOf(t, args[2]!) === null) return -Errno.EBADF;
  return int(args[5]!) !== 0 ? -Errno.EINVAL : yield* between(t, args, copyFileRange);
};

const tee_: Handler = function* (t, [fdIn, fdOut, length, flags]) {
  if ((int(flags!) & ~SPLICE_F_ALL) !== 0) return -Errno.EINVAL;
  if (length === 0) return 0;
  const input = fileOf(t, fdIn!);
  const output = fileOf(t, fdOut!);
  if (input === null || output === null) return -Errno.EBADF;
  return yield* withBoth(t, input, output, () => tee(t.k, input, output, most(length!), nonblocking(flags!)));
};

const sendfile_: Handler = function* (t, [fdOut, fdIn, offset, length]) {
  const place = yield* positionAt(t, offset!);
  if (typeof place === "number") return place;
  const input = fileOf(t, fdIn!);
  if (input === null || !input.readable) return -Errno.EBADF;
  if (place.pos !== null && input.ops.stream === true) return -Errno.ESPIPE;
  if ((place.pos ?? 0) < 0 || length! < 0) return -Errno.EINVAL;
  const output = fileOf(t, fdOut!);
  if (output === null || !output.writable) return -Errno.EBADF;
  const n = yield* withBoth(t, input, output, () => sendfile(t.k, { file: input, pos: place.pos }, output, most(length!)));
  const error = yield* tell(t, offset!, place.pos, n);
  return error < 0 ? error : n;
};

/** vmsplice(2): a writer's pages go into the pipe as they are; a reader's get copies, as always. */
const vmsplice: Handler = function* (t, [fd, vector, count, flags]) {
  const { k } = t;
  if ((int(flags!) & ~SPLICE_F_ALL) !== 0) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const ranges = yield* importIoVecs(t, vector!, count!);
  if (typeof ranges === "number") return ranges;
  if (ranges.every(({ length }) => length === 0)) return 0;
  if (!isPipe(file)) return -Errno.EBADF;
  const move = file.writable ? vmspliceToPipe : vmspliceFromPipe;
  k.m.vfs.get(file);
  const n = yield* move(k, file, ranges, nonblocking(flags!));
  yield* k.m.vfs.put(k, file);
  if (n === -Errno.EPIPE) yield* sigpipe(t);
  return n;
};

const PAGE_BITS = 12n;

const cachestat_: Handler = function* (t, [fd, rangeAt, into, flags]) {
  const { k } = t;
  const file = fileOf(t, fd!);
  if (file === null || (file.flags & O.PATH) !== 0) return -Errno.EBADF;
  const range = yield* readStruct(k, rangeAt!, 16);
  if (range === null) return -Errno.EFAULT;
  const [offset, length] = [range.getBigUint64(0, true), range.getBigUint64(8, true)];
  const last = length === 0n ? Infinity : Number(BigInt.asUintN(64, offset + length - 1n) >> PAGE_BITS);
  const stat = yield* cachestat(k, file, Number(offset >> PAGE_BITS), last);
  if (typeof stat === "number") return stat;
  if (int(flags!) !== 0) return -Errno.EINVAL;
  const view = new DataView(new ArrayBuffer(40));
  [stat.cached, 0, 0, stat.evicted, 0].forEach((value, i) => setI64(view, i * 8, value));
  return yield* k.uaccess.copyToUser(k, into!, structBytes(view));
};

const SPLICE_FLAGS = F.flags([[1, "SPLICE_F_MOVE"], [2, "SPLICE_F_NONBLOCK"], [4, "SPLICE_F_MORE"], [8, "SPLICE_F_GIFT"]]);

export const SPLICE: readonly (readonly [number, Syscall])[] = [
  [71, call("sendfile", [F.INT, F.INT, F.POINTER, F.SIZE], sendfile_)],
  [75, call("vmsplice", [F.INT, F.iovec(2), F.SIZE, SPLICE_FLAGS], vmsplice)],
  [76, call("splice", [F.INT, F.POINTER, F.INT, F.POINTER, F.SIZE, SPLICE_FLAGS], splice_, "into a socket go copies, not pages: what is written to those later is not seen there")],
  [77, call("tee", [F.INT, F.INT, F.SIZE, SPLICE_FLAGS], tee_)],
  [451, call("cachestat", [F.INT, F.POINTER, F.OUT, F.HEX], cachestat_, "nothing counts as evicted recently")],
  [285, call("copy_file_range", [F.INT, F.POINTER, F.INT, F.POINTER, F.SIZE, F.HEX], copy_file_range)],
];
