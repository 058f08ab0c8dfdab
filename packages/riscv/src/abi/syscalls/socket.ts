import { Errno, fput, makeSocketPair, MESSAGE_MAX, O, shutdownSocket, Sig, SI, socketOf, SockType, STREAM_PART, type MaySleep, type OpenFile, type UnixSocket } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, getU64, readStruct, readUser, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut, installPair, IOV_MAX } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const AF_UNIX = 1;
const SOCK_RAW = 3;
const SOCK_TYPE_MASK = 15;

enum Msg {
  CTRUNC = 8,
  PEEK = 2,
  TRUNC = 0x20,
  DONTWAIT = 0x40,
  NOSIGNAL = 0x4000,
  CMSG_CLOEXEC = 0x4000_0000,
}
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** Descriptors in one message, at most. */
const SCM_MAX_FD = 253;
const CMSG_HEADER = 16;

const socket: Handler = function* (_t, [domain]) {
  return int(domain!) === AF_UNIX ? -Errno.EPROTONOSUPPORT : -Errno.EAFNOSUPPORT;
};

const socketpair: Handler = function* (t, [domain, kind, protocol, address]) {
  const flags = int(kind!) & ~SOCK_TYPE_MASK;
  let type = int(kind!) & SOCK_TYPE_MASK;
  if ((flags & ~(O.NONBLOCK | O.CLOEXEC)) !== 0) return -Errno.EINVAL;
  if (int(domain!) !== AF_UNIX) return -Errno.EAFNOSUPPORT;
  if (int(protocol!) !== 0 && int(protocol!) !== AF_UNIX) return -Errno.EPROTONOSUPPORT;
  if (type === SOCK_RAW) type = SockType.DGRAM;
  if (type !== (SockType.STREAM as number) && type !== (SockType.DGRAM as number) && type !== (SockType.SEQPACKET as number)) return -Errno.ESOCKTNOSUPPORT;
  return yield* installPair(t, makeSocketPair(t.k, type, flags), (flags & O.CLOEXEC) !== 0, address!);
};

/** The socket of a descriptor with its file, or a negated errno. */
function socketAt(t: GuestThread, fd: number): { file: OpenFile; socket: UnixSocket } | number {
  const file = fileOf(t, fd);
  if (file === null) return -Errno.EBADF;
  const found = socketOf(file);
  return found === null ? -Errno.ENOTSOCK : { file, socket: found };
}

function besides(file: OpenFile, flags: number): { nonblock: boolean; peek: boolean } {
  return { nonblock: (file.flags & O.NONBLOCK) !== 0 || (flags & Msg.DONTWAIT) !== 0, peek: (flags & Msg.PEEK) !== 0 };
}

function* sendAll(t: GuestThread, { file, socket: to }: { file: OpenFile; socket: UnixSocket }, bytes: Uint8Array, files: readonly OpenFile[], flags: number): MaySleep<number> {
  const { k } = t;
  k.m.vfs.get(file);
  const n = yield* to.send(bytes, files, besides(file, flags));
  yield* k.m.vfs.put(k, file);
  if (n === -Errno.EPIPE && (flags & Msg.NOSIGNAL) === 0 && to.type !== SockType.DGRAM) {
    yield* k.signal.sendToThread(k, t.task, { signo: Sig.SIGPIPE, code: SI.USER, addr: 0, pid: t.task.process!.pid });
  }
  return n;
}

/** A range of the caller's memory. */
interface Part {
  readonly address: number;
  readonly length: number;
}

/** The bytes of all parts from `skip` on, `max` at most; null for a bad address. */
function* gather(t: GuestThread, parts: readonly Part[], skip: number, max: number): MaySleep<Uint8Array | null> {
  const total = parts.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(Math.max(0, Math.min(total - skip, max)));
  let from = 0;
  for (const { address, length } of parts) {
    const start = Math.max(skip, from);
    const end = Math.min(from + length, skip + bytes.length);
    if (end > start) {
      const part = yield* readUser(t.k, address + start - from, end - start);
      if (part === null) return null;
      bytes.set(part, start - skip);
    }
    from += length;
  }
  return bytes;
}

/** Sends what stands in memory: a message at once, a stream in pieces. */
function* send(t: GuestThread, at: { file: OpenFile; socket: UnixSocket }, parts: readonly Part[], files: readonly OpenFile[], flags: number): MaySleep<number> {
  const total = parts.reduce((sum, { length }) => sum + length, 0);
  const isStream = at.socket.type === SockType.STREAM;
  if (!isStream && total > MESSAGE_MAX) return -Errno.EMSGSIZE;
  for (let done = 0; ; ) {
    const bytes = yield* gather(t, parts, done, isStream ? STREAM_PIECE : MESSAGE_MAX);
    if (bytes === null) return done > 0 ? done : -Errno.EFAULT;
    const n = yield* sendAll(t, at, bytes, done === 0 ? files : [], done === 0 ? flags : flags | Msg.NOSIGNAL);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < bytes.length || done >= total) return done;
  }
}
/** Bytes of a stream that are taken over at a time. */
const STREAM_PIECE = 2 * STREAM_PART;
/** No transfer moves more, in bytes. */
const MAX_RW_COUNT = 0x7fff_f000;

const sendto: Handler = function* (t, [fd, address, length, flags, to]) {
  const at = socketAt(t, fd!);
  if (typeof at === "number") return at;
  // Both ends know each other.
  if (to !== 0) return at.socket.type === SockType.STREAM ? -Errno.EISCONN : -Errno.EOPNOTSUPP;
  return yield* send(t, at, [{ address: address!, length: length! < 0 ? MAX_RW_COUNT : Math.min(length!, MAX_RW_COUNT) }], [], int(flags!));
};

const recvfrom: Handler = function* (t, [fd, address, length, flags, , addressLength]) {
  const { k } = t;
  const at = socketAt(t, fd!);
  if (typeof at === "number") return at;
  const into = new Uint8Array(Math.min(Math.max(length!, 0), 1 << 20));
  k.m.vfs.get(at.file);
  const received = yield* at.socket.receive(into, besides(at.file, int(flags!)));
  yield* k.m.vfs.put(k, at.file);
  if (typeof received === "number") return received;
  for (const file of received.files) yield* fput(k, file);
  const error = yield* k.uaccess.copyToUser(k, address!, into.subarray(0, received.n));
  if (error < 0) return error;
  if (addressLength !== 0 && (yield* k.uaccess.putUser32(k, addressLength!, 0)) < 0) return -Errno.EFAULT;
  return (int(flags!) & Msg.TRUNC) !== 0 ? received.whole : received.n;
};

/** struct msghdr. */
interface Header {
  readonly vector: DataView;
  readonly count: number;
  readonly control: number;
  readonly controlLength: number;
}

function* readHeader(t: GuestThread, address: number): MaySleep<Header | number> {
  const view = yield* readStruct(t.k, address, 56);
  if (view === null) return -Errno.EFAULT;
  const count = getU64(view, 24);
  if (count > IOV_MAX) return -Errno.EMSGSIZE;
  const vector = yield* readStruct(t.k, getU64(view, 16), count * 16);
  return vector === null ? -Errno.EFAULT : { vector, count, control: getU64(view, 32), controlLength: getU64(view, 40) };
}

/** The files that SCM_RIGHTS names, each with one more reference; a negated errno. */
function* readRights(t: GuestThread, { control, controlLength }: Header): MaySleep<OpenFile[] | number> {
  const files: OpenFile[] = [];
  const view = controlLength === 0 ? null : yield* readStruct(t.k, control, Math.min(controlLength, 1 << 16));
  if (view === null) return controlLength === 0 ? files : -Errno.EFAULT;
  for (let at = 0; at + CMSG_HEADER <= view.byteLength; ) {
    const length = getU64(view, at);
    if (length < CMSG_HEADER || at + length > view.byteLength) return -Errno.EINVAL;
    if (view.getInt32(at + 8, true) === SOL_SOCKET) {
      if (view.getInt32(at + 12, true) !== SCM_RIGHTS) return -Errno.EINVAL;
      for (let i = at + CMSG_HEADER; i + 4 <= at + length; i += 4) {
        const file = fileOf(t, view.getInt32(i, true));
        if (file === null) return -Errno.EBADF;
        files.push(file);
      }
    }
    at += Math.ceil(length / 8) * 8;
  }
  if (files.length > SCM_MAX_FD) return -Errno.EINVAL;
  for (const file of files) t.k.m.vfs.get(file);
  return files;
}

const sendmsg: Handler = function* (t, [fd, address, flags]) {
  const { k } = t;
  const at = socketAt(t, fd!);
  if (typeof at === "number") return at;
  const header = yield* readHeader(t, address!);
  if (typeof header === "number") return header;
  const parts: Part[] = [];
  let total = 0;
  for (let i = 0; i < header.count; i++) {
    const length = getI64(header.vector, i * 16 + 8);
    if (length < 0) return -Errno.EINVAL;
    parts.push({ address: getU64(header.vector, i * 16), length: Math.min(length, MAX_RW_COUNT - total) });
    total += parts.at(-1)!.length;
  }
  const files = yield* readRights(t, header);
  if (typeof files === "number") return files;
  const n = yield* send(t, at, parts, files, int(flags!));
  if (n < 0) for (const file of files) yield* fput(k, file);
  return n;
};

/** Gives the files descriptors, as many as there is room for; the length of the control data, and MSG_CTRUNC where not all had room. */
function* giveFiles(t: GuestThread, files: readonly OpenFile[], { control, controlLength }: Header, cloexec: boolean): MaySleep<{ length: number; flags: number }> {
  const { k } = t;
  const room = control === 0 ? 0 : Math.max(0, Math.floor((controlLength - CMSG_HEADER) / 4));
  const fds: number[] = [];
  for (const [i, file] of files.entries()) {
    const fd = i < room ? yield* installOrPut(t, file, cloexec, 0) : -1;
    if (i >= room) yield* fput(k, file);
    if (fd >= 0) fds.push(fd);
  }
  const flags = fds.length < files.length ? Msg.CTRUNC : 0;
  if (fds.length === 0) return { length: 0, flags };
  const view = new DataView(new ArrayBuffer(CMSG_HEADER + fds.length * 4));
  setI64(view, 0, view.byteLength);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  fds.forEach((fd, i) => view.setInt32(CMSG_HEADER + 4 * i, fd, true));
  yield* k.uaccess.copyToUser(k, control, structBytes(view));
  return { length: Math.min(Math.ceil(view.byteLength / 8) * 8, controlLength), flags };
}

const recvmsg: Handler = function* (t, [fd, address, flags]) {
  const { k } = t;
  const at = socketAt(t, fd!);
  if (typeof at === "number") return at;
  const header = yield* readHeader(t, address!);
  if (typeof header === "number") return header;
  const lengths = Array.from({ length: header.count }, (_, i) => getI64(header.vector, i * 16 + 8));
  if (lengths.some((length) => length < 0)) return -Errno.EINVAL;
  const into = new Uint8Array(Math.min(lengths.reduce((sum, length) => sum + length, 0), 1 << 20));
  k.m.vfs.get(at.file);
  const received = yield* at.socket.receive(into, besides(at.file, int(flags!)));
  yield* k.m.vfs.put(k, at.file);
  if (typeof received === "number") return received;
  let done = 0;
  for (let i = 0; i < header.count && done < received.n; i++) {
    const part = into.subarray(done, Math.min(done + lengths[i]!, received.n));
    if ((yield* k.uaccess.copyToUser(k, getU64(header.vector, i * 16), part)) < 0) return -Errno.EFAULT;
    done += part.length;
  }
  const given = yield* giveFiles(t, received.files, header, (int(flags!) & Msg.CMSG_CLOEXEC) !== 0);
  const cut = received.whole > received.n ? Msg.TRUNC : 0;
  // No name; the length of the control data; flags.
  if ((yield* k.uaccess.putUser32(k, address! + 8, 0)) < 0) return -Errno.EFAULT;
  if ((yield* k.uaccess.putUser64(k, address! + 40, BigInt(given.length))) < 0) return -Errno.EFAULT;
  if ((yield* k.uaccess.putUser32(k, address! + 48, given.flags | cut | (int(flags!) & Msg.CMSG_CLOEXEC))) < 0) return -Errno.EFAULT;
  return (int(flags!) & Msg.TRUNC) !== 0 ? received.whole : received.n;
};

const shutdown: Handler = function* (t, [fd, how]) {
  const at = socketAt(t, fd!);
  return typeof at === "number" ? at : yield* shutdownSocket(t.k, at.socket, int(how!));
};

const MSG_FLAGS = F.flags([[2, "MSG_PEEK"], [0x20, "MSG_TRUNC"], [0x40, "MSG_DONTWAIT"], [0x4000, "MSG_NOSIGNAL"], [0x40000000, "MSG_CMSG_CLOEXEC"]]);
const PAIRS_ONLY = "sockets come in pairs of AF_UNIX only, without names";

export const SOCKET: readonly (readonly [number, Syscall])[] = [
  [198, call("socket", [F.INT, F.HEX, F.INT], socket, PAIRS_ONLY)],
  [199, call("socketpair", [F.INT, F.HEX, F.INT, F.FD_PAIR], socketpair, PAIRS_ONLY)],
  [206, call("sendto", [F.INT, F.buffer(2), F.SIZE, MSG_FLAGS, F.POINTER, F.INT], sendto)],
  [207, call("recvfrom", [F.INT, F.READ_BUFFER, F.SIZE, MSG_FLAGS, F.OUT, F.OUT], recvfrom)],
  [210, call("shutdown", [F.INT, F.INT], shutdown)],
  [211, call("sendmsg", [F.INT, F.POINTER, MSG_FLAGS], sendmsg, "no credentials")],
  [212, call("recvmsg", [F.INT, F.OUT, MSG_FLAGS], recvmsg, "no credentials")],
];
