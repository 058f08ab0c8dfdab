/**
 * @linux mm/userfaultfd.c
 * @own api, copy, enable, fillRange, handshake, installCtx, ioctl, move, newCtx, read, register, setMode,
 *   writeprotect
 */
import { rlimit, Rlimit } from "../kernel/rlimit.js";
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Cap, capable } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { VM, VM_UFFD_PROTECTS, type Mm } from "../mm/mm_types.js";
import { Fill, type FillRequest } from "../mm/uffd_fill.js";
import { anonFile } from "./anon_inode.js";
import { UffdEvent, UffdFeature, UFFD_USER_MODE_ONLY, UserfaultfdCtx, type UffdMsg } from "./userfaultfd_ctx.js";
import { makedev, O, Poll, type CharDevice, type FileOps, type OpenFile } from "./vfs.js";

/* The ABI of linux/userfaultfd.h: ioctls, structures, files. */

const UFFD_API = 0xaa;
const UFFD_API_FEATURES = (UffdFeature.RWP_ASYNC << 1) - 1;
/** sizeof(struct uffd_msg). */
const MSG_SIZE = 32;

/** Numbers of the ioctls, which are bits of what UFFDIO_API and UFFDIO_REGISTER answer. */
enum Nr {
  REGISTER = 0,
  UNREGISTER = 1,
  WAKE = 2,
  COPY = 3,
  ZEROPAGE = 4,
  MOVE = 5,
  WRITEPROTECT = 6,
  CONTINUE = 7,
  POISON = 8,
  RWPROTECT = 9,
  SET_MODE = 0xa,
  API = 0x3f,
}

const WRITE = 1;
const READ = 2;
const READ_WRITE = 3;

function ioc(direction: number, nr: Nr, size: number): number {
  return ((direction << 30) | (size << 16) | (UFFD_API << 8) | nr) >>> 0;
}

/** By command; some that only write to the kernel are numbered as if they read from it. */
const UFFDIO = {
  API: ioc(READ_WRITE, Nr.API, 24),
  REGISTER: ioc(READ_WRITE, Nr.REGISTER, 32),
  UNREGISTER: ioc(READ, Nr.UNREGISTER, 16),
  WAKE: ioc(READ, Nr.WAKE, 16),
  COPY: ioc(READ_WRITE, Nr.COPY, 40),
  ZEROPAGE: ioc(READ_WRITE, Nr.ZEROPAGE, 32),
  MOVE: ioc(READ_WRITE, Nr.MOVE, 40),
  WRITEPROTECT: ioc(READ_WRITE, Nr.WRITEPROTECT, 24),
  CONTINUE: ioc(READ_WRITE, Nr.CONTINUE, 32),
  POISON: ioc(READ_WRITE, Nr.POISON, 32),
  RWPROTECT: ioc(READ_WRITE, Nr.RWPROTECT, 24),
  SET_MODE: ioc(WRITE, Nr.SET_MODE, 16),
} as const;

const USERFAULTFD_IOC_NEW = 0xaa00;

/** UFFDIO_REGISTER_MODE_*. */
const REGISTER_MODES: readonly (readonly [mode: bigint, flag: VM])[] = [
  [1n, VM.UFFD_MISSING],
  [2n, VM.UFFD_WP],
  [4n, VM.UFFD_MINOR],
  [8n, VM.UFFD_RWP],
];

/** Modes of the others: DONTWAKE is bit 0 everywhere but in WRITEPROTECT and RWPROTECT. */
const DONTWAKE = 1n;
const COPY_WP = 2n;
const MOVE_ALLOW_SRC_HOLES = 2n;
const WRITEPROTECT_WP = 1n;
const WRITEPROTECT_DONTWAKE = 2n;
/** What UFFDIO_SET_MODE can turn on and off. */
const TOGGLEABLE = BigInt(UffdFeature.RWP_ASYNC);

/* Making one. */

/** userfaultfd(2): faults of the kernel are for who may trace others, or for all where the sysctl says so. */
export function* sysUserfaultfd(k: Kernel, flags: number): MaySleep<number> {
  const allowed = (flags & UFFD_USER_MODE_ONLY) !== 0 || capable(k, Cap.SYS_PTRACE) || k.m.unprivilegedUserfaultfd !== 0;
  return allowed ? yield* k.userfaultfdFile.newUserfaultfd(k, flags) : -Errno.EPERM;
}

/** A new one, as USERFAULTFD_IOC_NEW makes it: a descriptor, or a negated errno. */
export function* newUserfaultfd(k: Kernel, flags: number): MaySleep<number> {
  const { mm } = k.m.current!;
  if (mm === null || (flags & ~(O.CLOEXEC | O.NONBLOCK | UFFD_USER_MODE_ONLY)) !== 0) return -Errno.EINVAL;
  return yield* k.userfaultfdFile.installCtx(k, k.userfaultfdFile.newCtx(k, mm, flags));
}

/** A context with one reference, its file's. */
export function newCtx(k: Kernel, mm: Mm, flags: number): UserfaultfdCtx {
  return new UserfaultfdCtx(k.m, mm, flags);
}

/** A descriptor of the current process for a context, whose reference becomes the file's. */
export function* installCtx(k: Kernel, ctx: UserfaultfdCtx): MaySleep<number> {
  const { m } = k;
  const process = m.current!.process!;
  const file = anonFile(k, "[userfaultfd]", USERFAULTFD_OPS, O.RDONLY | (ctx.flags & O.NONBLOCK));
  file.data = ctx;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  const fd = process.files.install(file, (ctx.flags & O.CLOEXEC) !== 0, 0, Number(BigInt.asUintN(31, rlimit(k.m, Rlimit.NOFILE))));
  if (fd >= 0) return fd;
  // The file is nobody's: no last close tells those that wait.
  yield* k.userfaultfd.ctxPut(k, ctx);
  return -Errno.EMFILE;
}

/** /dev/userfaultfd: whoever may open it gets descriptors for faults of the kernel, too. */
export const USERFAULTFD_DEVICE: CharDevice = {
  name: "userfaultfd",
  rdev: makedev(10, 126),
  mode: 0o600,
  ops: {
    *ioctl(k, _file, cmd, arg) {
      return cmd === USERFAULTFD_IOC_NEW ? yield* k.userfaultfdFile.newUserfaultfd(k, arg | 0) : -Errno.EINVAL;
    },
  },
};

/* The file. */

const USERFAULTFD_OPS: FileOps = {
  stream: true,
  seeks: true,
  iter: { nowait: true },
  ioctl: (k, file, cmd, arg) => k.userfaultfdFile.ioctl(k, file.data as UserfaultfdCtx, cmd, arg),
  read: (k, file, into) => k.userfaultfdFile.read(k, file, into),
  poll: (file) => poll(file),
  showFdinfo: (file) => fdinfo(file.data as UserfaultfdCtx),
  release: (k, file) => k.userfaultfd.release(k, file.data as UserfaultfdCtx),
};

/** UFFD_FEATURE_INITIALIZED: the kernel's own, and seen in fdinfo alone. */
const INITIALIZED = 2 ** 31;
/** Every ioctl that there is. */
const IOCTLS = Object.values(Nr).reduce((all: bigint, nr) => (typeof nr === "number" ? all | bit(nr) : all), 0n);

/** Faults that nobody has read, and all that wait; what was agreed on with UFFDIO_API. */
function fdinfo({ pending, faults, features, initialized }: UserfaultfdCtx): string {
  const agreed = features + (initialized ? INITIALIZED : 0);
  return `pending:\t${pending.length}\ntotal:\t${pending.length + faults.length}\nAPI:\t${UFFD_API.toString(16)}:${agreed.toString(16)}:${IOCTLS.toString(16)}\n`;
}

function poll(file: OpenFile): number {
  const ctx = file.data as UserfaultfdCtx;
  // A fault may be woken before it is read, so that a read could block after all.
  if (!ctx.initialized || (file.flags & O.NONBLOCK) === 0) return Poll.ERR;
  return ctx.pending.length > 0 || ctx.events.some(({ taken }) => !taken) ? Poll.IN : 0;
}

/** As many whole messages as there are and fit; sleeps only for the first. */
export function* read(k: Kernel, file: OpenFile, into: Uint8Array): MaySleep<number> {
  const ctx = file.data as UserfaultfdCtx;
  if (!ctx.initialized || into.length < MSG_SIZE) return -Errno.EINVAL;
  let done = 0;
  while (into.length - done >= MSG_SIZE) {
    const got = yield* k.userfaultfd.readMsg(k, ctx, done === 0 && (file.flags & O.NONBLOCK) === 0);
    if (typeof got === "number") return done > 0 ? done : got;
    const msg = "msg" in got ? got.msg : got;
    const fd = msg.event === UffdEvent.FORK ? yield* k.userfaultfdFile.installCtx(k, msg.child) : 0;
    if ("msg" in got) yield* k.userfaultfd.finishEvent(k, ctx, got, fd >= 0);
    if (fd < 0) return done > 0 ? done : fd;
    encode(new DataView(into.buffer, into.byteOffset + done, MSG_SIZE), msg, fd);
    done += MSG_SIZE;
  }
  return done;
}

/** Writes struct uffd_msg. */
function encode(view: DataView, msg: UffdMsg, fd: number): void {
  const set = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  for (let i = 0; i < MSG_SIZE; i += 8) set(i, 0);
  view.setUint8(0, msg.event);
  switch (msg.event) {
    case UffdEvent.PAGEFAULT:
      set(8, msg.flags);
      set(16, msg.address);
      view.setUint32(24, msg.ptid, true);
      return;
    case UffdEvent.FORK:
      view.setUint32(8, fd, true);
      return;
    case UffdEvent.REMAP:
      set(8, msg.from);
      set(16, msg.to);
      set(24, msg.len);
      return;
    default:
      set(8, msg.start);
      set(16, msg.end);
  }
}

/* ioctls. */

export function* ioctl(k: Kernel, ctx: UserfaultfdCtx, cmd: number, arg: number): MaySleep<number> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  if (cmd === UFFDIO.API) return yield* k.userfaultfdFile.api(k, ctx, arg);
  if (!ctx.initialized) return -Errno.EINVAL;
  switch (cmd) {
    case UFFDIO.REGISTER:
      return yield* k.userfaultfdFile.register(k, ctx, arg);
    case UFFDIO.UNREGISTER: {
      const range = yield* readRange(k, arg);
      return typeof range === "number" ? range : yield* k.userfaultfd.unregister(k, ctx, range.start, range.len);
    }
    case UFFDIO.WAKE: {
      const range = yield* readRange(k, arg);
      if (typeof range === "number") return range;
      yield* k.userfaultfd.wakeUserfault(k, ctx, range.start, range.len);
      return 0;
    }
    case UFFDIO.COPY:
      return yield* k.userfaultfdFile.copy(k, ctx, arg);
    case UFFDIO.ZEROPAGE:
      return yield* k.userfaultfdFile.fillRange(k, ctx, arg, Fill.Zeropage);
    case UFFDIO.CONTINUE:
      return yield* k.userfaultfdFile.fillRange(k, ctx, arg, Fill.Continue);
    case UFFDIO.POISON:
      return yield* k.userfaultfdFile.fillRange(k, ctx, arg, Fill.Poison);
    case UFFDIO.MOVE:
      return yield* k.userfaultfdFile.move(k, ctx, arg);
    case UFFDIO.WRITEPROTECT:
      return yield* k.userfaultfdFile.writeprotect(k, ctx, arg, VM.UFFD_WP);
    case UFFDIO.RWPROTECT:
      return yield* k.userfaultfdFile.writeprotect(k, ctx, arg, VM.UFFD_RWP);
    case UFFDIO.SET_MODE:
      return yield* k.userfaultfdFile.setMode(k, ctx, arg);
    default:
      return -Errno.EINVAL;
  }
}

/** `n` words of 64 bits from user memory; null for EFAULT. */
function* readWords(k: Kernel, arg: number, n: number): MaySleep<BigUint64Array | null> {
  const bytes = new Uint8Array(n * 8);
  return (yield* k.uaccess.copyFromUser(k, arg, bytes)) === 0 ? new BigUint64Array(bytes.buffer) : null;
}

/** A valid struct uffdio_range, in bytes; or a negated errno. */
function* readRange(k: Kernel, arg: number): MaySleep<{ readonly start: number; readonly len: number } | number> {
  const words = yield* readWords(k, arg, 2);
  if (words === null) return -Errno.EFAULT;
  const [start, len] = [signed(words[0]!), signed(words[1]!)];
  const wrong = k.userfaultfd.validateRange(k, start, len);
  return wrong !== 0 ? wrong : { start, len };
}

/** As a number: what does not fit one is no address and no length, and negative or beyond all addresses as well. */
function signed(word: bigint): number {
  return Number(BigInt.asIntN(64, word));
}

function bit(nr: Nr): bigint {
  return 1n << BigInt(nr);
}

export function* api(k: Kernel, ctx: UserfaultfdCtx, arg: number): MaySleep<number> {
  const words = yield* readWords(k, arg, 3);
  let result: number = words === null ? -Errno.EFAULT : -Errno.EINVAL;
  if (words !== null && words[0] === BigInt(UFFD_API)) {
    // Who has the child's descriptor has its memory.
    const forbidden = (words[1]! & BigInt(UffdFeature.EVENT_FORK)) !== 0n && !capable(k, Cap.SYS_PTRACE);
    if (forbidden) result = -Errno.EPERM;
    else if ((words[1]! & ~BigInt(UFFD_API_FEATURES)) === 0n && !asyncAlone(words[1]!)) result = yield* k.userfaultfdFile.handshake(k, ctx, Number(words[1]), arg);
    if (result === 0) return 0;
  }
  // Who fails gets zeros.
  const zeros = yield* k.uaccess.copyToUser(k, arg, new Uint8Array(24));
  return zeros !== 0 ? -Errno.EFAULT : result;
}

/** Accesses cannot be let through that would not be told. */
function asyncAlone(features: bigint): boolean {
  return (features & BigInt(UffdFeature.RWP | UffdFeature.RWP_ASYNC)) === BigInt(UffdFeature.RWP_ASYNC);
}

/** Answers what there is, then enables what is wanted: -EINVAL the second time. */
export function* handshake(k: Kernel, ctx: UserfaultfdCtx, features: number, arg: number): MaySleep<number> {
  const answer = new BigUint64Array([BigInt(UFFD_API), BigInt(UFFD_API_FEATURES), bit(Nr.REGISTER) | bit(Nr.UNREGISTER) | bit(Nr.SET_MODE) | bit(Nr.API)]);
  if ((yield* k.uaccess.copyToUser(k, arg, new Uint8Array(answer.buffer))) !== 0) return -Errno.EFAULT;
  return (yield* k.userfaultfdFile.enable(k, ctx, features)) ? 0 : -Errno.EINVAL;
}

/** False where it is enabled already. */
export function* enable(k: Kernel, ctx: UserfaultfdCtx, features: number): MaySleep<boolean> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  if (ctx.initialized) return false;
  ctx.initialized = true;
  // What is let through without asking has marks everywhere.
  ctx.features = (features & UffdFeature.WP_ASYNC) !== 0 ? features | UffdFeature.WP_UNPOPULATED : features;
  return true;
}

export function* register(k: Kernel, ctx: UserfaultfdCtx, arg: number): MaySleep<number> {
  const words = yield* readWords(k, arg, 3);
  if (words === null) return -Errno.EFAULT;
  let rest = words[2]!;
  let flags = 0;
  for (const [mode, flag] of REGISTER_MODES) {
    if ((rest & mode) !== 0n) flags |= flag;
    rest &= ~mode;
  }
  if (flags === 0 || rest !== 0n) return -Errno.EINVAL;
  if ((flags & VM.UFFD_RWP) !== 0 && !ctx.has(UffdFeature.RWP)) return -Errno.EINVAL;
  // There is one mark for both.
  if ((flags & VM_UFFD_PROTECTS) === VM_UFFD_PROTECTS) return -Errno.EINVAL;
  const [start, len] = [signed(words[0]!), signed(words[1]!)];
  const wrong = k.userfaultfd.validateRange(k, start, len);
  if (wrong !== 0) return wrong;
  const result = yield* k.userfaultfd.register(k, ctx, start, len, flags);
  if (result < 0) return result;
  let ioctls = bit(Nr.WAKE) | bit(Nr.COPY) | bit(Nr.POISON);
  if (result === 0) ioctls |= bit(Nr.ZEROPAGE) | bit(Nr.MOVE);
  if ((flags & VM.UFFD_WP) !== 0) ioctls |= bit(Nr.WRITEPROTECT);
  if ((flags & VM.UFFD_RWP) !== 0) ioctls |= bit(Nr.RWPROTECT);
  if ((flags & VM.UFFD_MINOR) !== 0) ioctls |= bit(Nr.CONTINUE);
  return yield* k.uaccess.putUser64(k, arg + 24, ioctls);
}

/** struct uffdio_copy: dst, src, len, mode, and where the number of bytes goes. */
export function* copy(k: Kernel, ctx: UserfaultfdCtx, arg: number): MaySleep<number> {
  if (yield* k.uffdEvents.isChanging(k, ctx)) return yield* tellChanging(k, arg + 32);
  const words = yield* readWords(k, arg, 4);
  if (words === null) return -Errno.EFAULT;
  const [dst, src, len] = [signed(words[0]!), signed(words[1]!), signed(words[2]!)];
  const mode = words[3]!;
  const wrong = k.userfaultfd.validateSource(k, src, len) || k.userfaultfd.validateRange(k, dst, len);
  if (wrong !== 0) return wrong;
  if ((mode & ~(DONTWAKE | COPY_WP)) !== 0n) return -Errno.EINVAL;
  const done = yield* k.uffdFill.fill(k, ctx, { fill: Fill.Copy, dst, src, len, wp: (mode & COPY_WP) !== 0n });
  return yield* filled(k, ctx, arg + 32, dst, len, done, mode);
}

/** UFFDIO_ZEROPAGE, CONTINUE and POISON: range, mode, and where the number of bytes goes. */
export function* fillRange(k: Kernel, ctx: UserfaultfdCtx, arg: number, fill: Exclude<Fill, Fill.Copy>): MaySleep<number> {
  if (yield* k.uffdEvents.isChanging(k, ctx)) return yield* tellChanging(k, arg + 24);
  const words = yield* readWords(k, arg, 3);
  if (words === null) return -Errno.EFAULT;
  const [dst, len] = [signed(words[0]!), signed(words[1]!)];
  const mode = words[2]!;
  const wrong = k.userfaultfd.validateRange(k, dst, len);
  if (wrong !== 0) return wrong;
  const known = fill === Fill.Continue ? DONTWAKE | COPY_WP : DONTWAKE;
  if ((mode & ~known) !== 0n) return -Errno.EINVAL;
  const request: FillRequest = { fill, dst, src: 0, len, wp: (mode & COPY_WP) !== 0n };
  return yield* filled(k, ctx, arg + 24, dst, len, yield* k.uffdFill.fill(k, ctx, request), mode);
}

/** struct uffdio_move: dst, src, len, mode, and where the number of bytes goes. */
export function* move(k: Kernel, ctx: UserfaultfdCtx, arg: number): MaySleep<number> {
  if (yield* k.uffdEvents.isChanging(k, ctx)) return yield* tellChanging(k, arg + 32);
  const words = yield* readWords(k, arg, 4);
  if (words === null) return -Errno.EFAULT;
  if (ctx.mm !== k.m.current!.mm) return -Errno.EINVAL;
  const [dst, src, len] = [signed(words[0]!), signed(words[1]!), signed(words[2]!)];
  const mode = words[3]!;
  const wrong = k.userfaultfd.validateRange(k, dst, len) || k.userfaultfd.validateRange(k, src, len);
  if (wrong !== 0) return wrong;
  if ((mode & ~(DONTWAKE | MOVE_ALLOW_SRC_HOLES)) !== 0n) return -Errno.EINVAL;
  const done = yield* k.uffdMove.move(k, ctx, dst, src, len, (mode & MOVE_ALLOW_SRC_HOLES) !== 0n);
  return yield* filled(k, ctx, arg + 32, dst, len, done, mode);
}

/** An event is on its way; since 6.16 that stands in the number of bytes, too. */
function* tellChanging(k: Kernel, at: number): MaySleep<number> {
  const told = yield* k.uaccess.putUser64(k, at, BigInt(-Errno.EAGAIN));
  return told !== 0 ? told : -Errno.EAGAIN;
}

/** Says how many bytes have been filled in, or why none, and wakes who waits for them: 0 where it is all of them. */
function* filled(k: Kernel, ctx: UserfaultfdCtx, at: number, dst: number, len: number, done: number, mode: bigint): MaySleep<number> {
  const told = yield* k.uaccess.putUser64(k, at, BigInt(done));
  if (told !== 0) return told;
  if (done < 0) return done;
  if ((mode & DONTWAKE) === 0n) yield* k.userfaultfd.wakeUserfault(k, ctx, dst, done);
  return done === len ? 0 : -Errno.EAGAIN;
}

/** UFFDIO_WRITEPROTECT and RWPROTECT, which are alike: range and mode. */
export function* writeprotect(k: Kernel, ctx: UserfaultfdCtx, arg: number, kind: VM.UFFD_WP | VM.UFFD_RWP): MaySleep<number> {
  if (yield* k.uffdEvents.isChanging(k, ctx)) return -Errno.EAGAIN;
  const words = yield* readWords(k, arg, 3);
  if (words === null) return -Errno.EFAULT;
  const [start, len] = [signed(words[0]!), signed(words[1]!)];
  const mode = words[2]!;
  const wrong = k.userfaultfd.validateRange(k, start, len);
  if (wrong !== 0) return wrong;
  if ((mode & ~(WRITEPROTECT_WP | WRITEPROTECT_DONTWAKE)) !== 0n || mode === (WRITEPROTECT_WP | WRITEPROTECT_DONTWAKE)) return -Errno.EINVAL;
  const result = yield* k.uffdWp.writeprotect(k, ctx, start, len, mode === WRITEPROTECT_WP, kind);
  if (result === 0 && mode === 0n) yield* k.userfaultfd.wakeUserfault(k, ctx, start, len);
  return result;
}

/** UFFDIO_SET_MODE: features to turn on, and others to turn off. */
export function* setMode(k: Kernel, ctx: UserfaultfdCtx, arg: number): MaySleep<number> {
  const words = yield* readWords(k, arg, 2);
  if (words === null) return -Errno.EFAULT;
  const [enable, disable] = [words[0]!, words[1]!];
  if ((enable & disable) !== 0n || ((enable | disable) & ~TOGGLEABLE) !== 0n) return -Errno.EINVAL;
  if (enable !== 0n && !ctx.has(UffdFeature.RWP)) return -Errno.EINVAL;
  return yield* k.uffdRwp.setMode(k, ctx, Number(enable), Number(disable));
}
