import { signalName } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, getU64, peekString, peekUser } from "../user.js";

/** How strace shows one argument. */
export interface Format {
  /** Filled in by the call: shown only when it has returned. */
  readonly output?: boolean;
  /** Bits or values that have a name. */
  readonly names?: readonly (readonly [number, string])[];
  /** Null leaves the argument out. */
  show(t: GuestThread, value: number, args: readonly number[], result: number): string | null;
}

export function hex(value: number | bigint): string {
  return `0x${(value < 0 ? BigInt.asUintN(64, BigInt(value)) : value).toString(16)}`;
}

/** strace shows this many bytes of a buffer. */
const MAX_BYTES = 32;

export function quote(bytes: Uint8Array, truncated = false): string {
  const named: Record<number, string> = { 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\" };
  let text = "";
  bytes.forEach((byte, i) => {
    const next = bytes[i + 1] ?? 0;
    if (named[byte] !== undefined) text += named[byte];
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte);
    // A digit behind it would be read as part of a short octal escape.
    else text += `\\${next >= 48 && next <= 57 ? byte.toString(8).padStart(3, "0") : byte.toString(8)}`;
  });
  return `"${text}"${truncated ? "..." : ""}`;
}

function flagsText(value: number, names: readonly (readonly [number, string])[], none: string): string {
  let rest = value >>> 0;
  const parts: string[] = [];
  for (const [bits, name] of names) {
    if (bits !== 0 && (rest & bits) >>> 0 === bits >>> 0) {
      parts.push(name);
      rest = (rest & ~bits) >>> 0;
    }
  }
  if (rest !== 0) parts.push(hex(rest));
  return parts.length > 0 ? parts.join("|") : none;
}

/** A word of flags. The first entry that contains others must stand before them. */
export function flags(names: readonly (readonly [number, string])[], none = "0"): Format {
  return { names, show: (_t, value) => flagsText(value, names, none) };
}

export function oneOf(names: Readonly<Record<number, string>>): Format {
  return { names: Object.entries(names).map(([value, name]) => [Number(value), name]), show: (_t, value) => names[value] ?? names[value | 0] ?? hex(value) };
}

export const INT: Format = { show: (_t, value) => String(value | 0) };
export const SIZE: Format = { show: (_t, value) => (value < 0 ? BigInt.asUintN(64, BigInt(value)) : value).toString() };
export const HEX: Format = { show: (_t, value) => hex(value) };
/** Hexadecimal, but a plain 0. */
export const OFFSET: Format = { show: (_t, value) => (value === 0 ? "0" : hex(value)) };
export const OCTAL: Format = { show: (_t, value) => `0${(value >>> 0).toString(8)}` };
export const POINTER: Format = { show: (_t, value) => (value === 0 ? "NULL" : hex(value)) };
export const OUT: Format = { ...POINTER, output: true };
export const SIGNAL: Format = { show: (_t, value) => (value === 0 ? "0" : signalName(value)) };
export const DIRFD: Format = { show: (_t, value) => ((value | 0) === -100 ? "AT_FDCWD" : String(value | 0)) };

export const PATH: Format = {
  show(t, value) {
    if (value === 0) return "NULL";
    const bytes = t.task.mm === null ? null : peekString(t.k, t.task.mm, value, 4096);
    return bytes === null ? hex(value) : quote(bytes);
  },
};

/** Pointers to strings, up to a null one. */
function stringsAt(t: GuestThread, address: number): string[] | null {
  const { mm } = t.task;
  if (address === 0 || mm === null) return null;
  const strings: string[] = [];
  for (let at = address; ; at += 8) {
    const pointer = peekUser(t.k, mm, at, 8);
    if (pointer === null) return null;
    const to = getU64(new DataView(pointer.buffer), 0);
    if (to === 0) return strings;
    const bytes = peekString(t.k, mm, to, 4096);
    strings.push(bytes === null ? hex(to) : quote(bytes));
  }
}

/** Arguments of a program: `["a", "b"]`. */
export const STRINGS: Format = {
  show(t, value, args, result) {
    const strings = stringsAt(t, value);
    return strings === null ? POINTER.show(t, value, args, result) : `[${strings.join(", ")}]`;
  },
};

/** Its environment, of which strace shows the length. */
export const STRING_COUNT: Format = {
  show(t, value, args, result) {
    const n = stringsAt(t, value)?.length;
    return n === undefined ? POINTER.show(t, value, args, result) : `${hex(value)} /* ${n} var${n === 1 ? "" : "s"} */`;
  },
};

/** Bytes whose number stands in argument `length`. */
export function buffer(length: number): Format {
  return { show: (t, value, args) => bytesText(t, value, args[length]!) };
}

/** Bytes that the call read, as many as it says. */
export const READ_BUFFER: Format = {
  output: true,
  show: (t, value, _args, result) => (result < 0 ? hex(value) : bytesText(t, value, result)),
};

function bytesText(t: GuestThread, address: number, length: number): string {
  if (address === 0) return "NULL";
  const n = Math.min(Math.max(length, 0), MAX_BYTES);
  const bytes = t.task.mm === null ? null : peekUser(t.k, t.task.mm, address, n);
  return bytes === null ? hex(address) : quote(bytes, length > MAX_BYTES);
}

/** An array of iovec whose number of entries stands in argument `count`. */
export function iovec(count: number): Format {
  return {
    show(t, value, args) {
      const n = args[count]!;
      const table = t.task.mm === null || n < 0 || n > 1024 ? null : peekUser(t.k, t.task.mm, value, n * 16);
      if (table === null) return hex(value);
      const view = new DataView(table.buffer);
      const parts = Array.from({ length: n }, (_, i) => {
        const length = getU64(view, i * 16 + 8);
        return `{iov_base=${bytesText(t, getU64(view, i * 16), length)}, iov_len=${length}}`;
      });
      return `[${parts.join(", ")}]`;
    },
  };
}

export const TIMESPEC: Format = {
  show(t, value) {
    if (value === 0) return "NULL";
    const bytes = t.task.mm === null ? null : peekUser(t.k, t.task.mm, value, 16);
    if (bytes === null) return hex(value);
    const view = new DataView(bytes.buffer);
    return `{tv_sec=${getI64(view, 0)}, tv_nsec=${getI64(view, 8)}}`;
  },
};
export const TIMESPEC_OUT: Format = { output: true, show: (t, value, args, result) => (result < 0 ? POINTER.show(t, value, args, result) : TIMESPEC.show(t, value, args, result)) };

/** A set of signals: `[INT TERM]`. */
export function sigset(output: boolean): Format {
  return {
    output,
    show(t, value, _args, result) {
      if (value === 0) return "NULL";
      const bytes = t.task.mm === null || (output && result < 0) ? null : peekUser(t.k, t.task.mm, value, 8);
      if (bytes === null) return hex(value);
      let mask = new DataView(bytes.buffer).getBigUint64(0, true);
      let bits = 0;
      for (let rest = mask; rest !== 0n; rest >>= 1n) if ((rest & 1n) !== 0n) bits++;
      const negated = bits > 32;
      if (negated) mask = BigInt.asUintN(64, ~mask);
      const names: string[] = [];
      for (let signo = 1; signo <= 64; signo++) {
        if (((mask >> BigInt(signo - 1)) & 1n) !== 0n) names.push(signalName(signo).replace(/^SIG/, ""));
      }
      return `${negated ? "~" : ""}[${names.join(" ")}]`;
    },
  };
}

/** ioctl's second argument, by direction, type, number and size; the test driver's by name. */
const DMIRROR = ["READ", "WRITE", "MIGRATE_TO_DEV", "MIGRATE_TO_SYS", "SNAPSHOT", "EXCLUSIVE", "CHECK_EXCLUSIVE", "RELEASE", "FLAGS", "READ_UNLOCKED"];
const DMIRROR_SIZE = 40;

function ioctlName(cmd: number): string | null {
  return ((cmd >>> 8) & 255) === 0x48 && ((cmd >>> 16) & 0x3fff) === DMIRROR_SIZE ? (DMIRROR[cmd & 255] ?? null) : null;
}

const UFFDIO: Readonly<Record<number, string>> = {
  0xaa00: "USERFAULTFD_IOC_NEW", 0xc018aa3f: "UFFDIO_API", 0xc020aa00: "UFFDIO_REGISTER", 0x8010aa01: "UFFDIO_UNREGISTER", 0x8010aa02: "UFFDIO_WAKE",
  0xc028aa03: "UFFDIO_COPY", 0xc020aa04: "UFFDIO_ZEROPAGE", 0xc028aa05: "UFFDIO_MOVE", 0xc018aa06: "UFFDIO_WRITEPROTECT",
  0xc020aa07: "UFFDIO_CONTINUE", 0xc020aa08: "UFFDIO_POISON",
};

export const IOCTL: Format = {
  show(_t, value) {
    const cmd = value >>> 0;
    const direction = ["_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE"][cmd >>> 30]!;
    const name = ioctlName(cmd);
    const known: Record<number, string> = { 0x5401: "TCGETS", 0x5413: "TIOCGWINSZ", 0x541b: "FIONREAD", 0x5421: "FIONBIO", ...UFFDIO };
    if (known[cmd] !== undefined) return known[cmd];
    const encoded = `_IOC(${direction}, ${hex((cmd >>> 8) & 255)}, ${hex(cmd & 255)}, ${hex((cmd >>> 16) & 0x3fff)})`;
    return name === null ? encoded : `${encoded} /* HMM_DMIRROR_${name} */`;
  },
};

/** ioctl's third argument: what is known of the test driver's, else a pointer. */
export const IOCTL_ARG: Format = {
  output: true,
  show(t, value, args, result) {
    if (ioctlName(args[1]! >>> 0) === null || t.task.mm === null) return POINTER.show(t, value, args, result);
    const bytes = peekUser(t.k, t.task.mm, value, DMIRROR_SIZE);
    if (bytes === null) return POINTER.show(t, value, args, result);
    const view = new DataView(bytes.buffer);
    const input = `addr=${hex(getU64(view, 0))}, ptr=${hex(getU64(view, 8))}, npages=${getU64(view, 16)}`;
    return result < 0 ? `{${input}}` : `{${input}, cpages=${getU64(view, 24)}, faults=${getU64(view, 32)}}`;
  },
};

export const PROT = flags([[1, "PROT_READ"], [2, "PROT_WRITE"], [4, "PROT_EXEC"], [8, "PROT_SEM"], [0x1000000, "PROT_GROWSDOWN"], [0x2000000, "PROT_GROWSUP"]], "PROT_NONE");
const OPEN_NAMES: readonly (readonly [number, string])[] = [
  [0o20200000, "O_TMPFILE"], [0o100, "O_CREAT"], [0o200, "O_EXCL"], [0o400, "O_NOCTTY"], [0o1000, "O_TRUNC"],
  [0o2000, "O_APPEND"], [0o4000, "O_NONBLOCK"], [0o200000, "O_DIRECTORY"], [0o400000, "O_NOFOLLOW"],
  [0o2000000, "O_CLOEXEC"], [0o10000000, "O_PATH"], [0o4010000, "O_SYNC"], [0o10000, "O_DSYNC"], [0o40000, "O_DIRECT"],
];
export const OPEN_FLAGS: Format = {
  names: OPEN_NAMES,
  show(_t, value) {
    const access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][value & 3]!;
    const rest = flagsText(value & ~3 & ~0o100000, OPEN_NAMES, "");
    return rest === "" ? access : `${access}|${rest}`;
  },
};
/** The mode of openat, which matters only to what creates a file. */
export const OPEN_MODE: Format = { show: (_t, value, args) => ((args[2]! & 0o20000100) !== 0 ? `0${(value & 0o7777).toString(8)}` : null) };

export const MAP_FLAGS = flags([
  [3, "MAP_SHARED_VALIDATE"], [1, "MAP_SHARED"], [2, "MAP_PRIVATE"], [0x10, "MAP_FIXED"], [0x20, "MAP_ANONYMOUS"],
  [0x100, "MAP_GROWSDOWN"], [0x2000, "MAP_LOCKED"], [0x4000, "MAP_NORESERVE"], [0x8000, "MAP_POPULATE"],
  [0x10000, "MAP_NONBLOCK"], [0x20000, "MAP_STACK"], [0x40000, "MAP_HUGETLB"], [0x100000, "MAP_FIXED_NOREPLACE"],
]);

export const MLOCK_FLAGS = flags([[1, "MLOCK_ONFAULT"]]);
export const MLOCKALL_FLAGS = flags([[1, "MCL_CURRENT"], [2, "MCL_FUTURE"], [4, "MCL_ONFAULT"]]);
export const MREMAP_FLAGS = flags([[1, "MREMAP_MAYMOVE"], [2, "MREMAP_FIXED"], [4, "MREMAP_DONTUNMAP"]]);
/** Where a mapping moves: no argument unless the flags ask for it. */
export const MREMAP_ADDRESS: Format = { show: (t, value, args, result) => ((args[3]! & 6) !== 0 ? POINTER.show(t, value, args, result) : null) };

export const CLONE_FLAGS: Format = {
  show(_t, value) {
    const signo = value & 255;
    const text = flagsText(value & ~255, CLONE_NAMES, "");
    return [text, signo === 0 ? "" : signalName(signo)].filter((s) => s !== "").join("|") || "0";
  },
};
const CLONE_NAMES: readonly (readonly [number, string])[] = [
  [0x100, "CLONE_VM"], [0x200, "CLONE_FS"], [0x400, "CLONE_FILES"], [0x800, "CLONE_SIGHAND"], [0x1000, "CLONE_PIDFD"],
  [0x2000, "CLONE_PTRACE"], [0x4000, "CLONE_VFORK"], [0x8000, "CLONE_PARENT"], [0x10000, "CLONE_THREAD"],
  [0x20000, "CLONE_NEWNS"], [0x40000, "CLONE_SYSVSEM"], [0x80000, "CLONE_SETTLS"], [0x100000, "CLONE_PARENT_SETTID"],
  [0x200000, "CLONE_CHILD_CLEARTID"], [0x1000000, "CLONE_CHILD_SETTID"],
];

const FUTEX_COMMANDS = [
  "FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_FD", "FUTEX_REQUEUE", "FUTEX_CMP_REQUEUE", "FUTEX_WAKE_OP", "FUTEX_LOCK_PI",
  "FUTEX_UNLOCK_PI", "FUTEX_TRYLOCK_PI", "FUTEX_WAIT_BITSET", "FUTEX_WAKE_BITSET", "FUTEX_WAIT_REQUEUE_PI",
  "FUTEX_CMP_REQUEUE_PI", "FUTEX_LOCK_PI2",
];
export const FUTEX_OP: Format = {
  show(_t, value) {
    const name = FUTEX_COMMANDS[value & 127] ?? hex(value & 127);
    return `${name}${(value & 128) !== 0 ? "_PRIVATE" : ""}${(value & 256) !== 0 ? "|FUTEX_CLOCK_REALTIME" : ""}`;
  },
};
/** The timeout of a wait, the second count of a requeue; nothing for a plain wake. */
export const FUTEX_ARG3: Format = {
  show(t, value, args, result) {
    const command = args[1]! & 127;
    // A null timeout is shown, a wake has none.
    if (command === 0 || command === 6 || command === 9 || command === 13) return TIMESPEC.show(t, value, args, result);
    return command === 1 || command === 7 || command === 8 || command === 10 ? null : String(value);
  },
};
export const FUTEX_ARG4: Format = { show: (_t, value, args) => ([3, 4, 5].includes(args[1]! & 127) ? hex(value) : null) };
export const FUTEX_ARG5: Format = {
  show(_t, value, args) {
    const command = args[1]! & 127;
    if (command === 9 || command === 10) return (value | 0) === -1 ? "FUTEX_BITSET_MATCH_ANY" : hex(value >>> 0);
    if (command === 4) return String(value | 0);
    return command === 5 ? hex(value >>> 0) : null;
  },
};

export const CLOCK = oneOf({
  0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID", 3: "CLOCK_THREAD_CPUTIME_ID",
  4: "CLOCK_MONOTONIC_RAW", 5: "CLOCK_REALTIME_COARSE", 6: "CLOCK_MONOTONIC_COARSE", 7: "CLOCK_BOOTTIME",
  11: "CLOCK_TAI",
});
export const MADVICE = oneOf({
  0: "MADV_NORMAL", 1: "MADV_RANDOM", 2: "MADV_SEQUENTIAL", 3: "MADV_WILLNEED", 4: "MADV_DONTNEED", 8: "MADV_FREE",
  9: "MADV_REMOVE", 10: "MADV_DONTFORK", 11: "MADV_DOFORK", 12: "MADV_MERGEABLE", 13: "MADV_UNMERGEABLE",
  14: "MADV_HUGEPAGE", 15: "MADV_NOHUGEPAGE", 16: "MADV_DONTDUMP", 17: "MADV_DODUMP", 18: "MADV_WIPEONFORK",
  19: "MADV_KEEPONFORK", 20: "MADV_COLD", 21: "MADV_PAGEOUT", 22: "MADV_POPULATE_READ", 23: "MADV_POPULATE_WRITE",
  24: "MADV_DONTNEED_LOCKED", 25: "MADV_COLLAPSE", 100: "MADV_HWPOISON", 101: "MADV_SOFT_OFFLINE", 102: "MADV_GUARD_INSTALL", 103: "MADV_GUARD_REMOVE",
});
export const WHENCE = oneOf({ 0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END", 3: "SEEK_DATA", 4: "SEEK_HOLE" });
export const SIG_HOW = oneOf({ 0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK" });

function peek(t: GuestThread, address: number, length: number): DataView | null {
  const bytes = address === 0 || t.task.mm === null ? null : peekUser(t.k, t.task.mm, address, length);
  return bytes === null ? null : new DataView(bytes.buffer);
}

const FILE_TYPES: Readonly<Record<number, string>> = {
  0o010000: "S_IFIFO", 0o020000: "S_IFCHR", 0o040000: "S_IFDIR", 0o060000: "S_IFBLK", 0o100000: "S_IFREG", 0o120000: "S_IFLNK",
};

/** What the stat calls fill in, in short. */
export const STAT: Format = {
  output: true,
  show(t, value, args, result) {
    const view = result < 0 ? null : peek(t, value, 128);
    if (view === null) return POINTER.show(t, value, args, result);
    const mode = view.getUint32(16, true);
    const type = FILE_TYPES[mode & 0o170000] ?? "0";
    const rest = type === "S_IFCHR" ? `st_rdev=${hex(getU64(view, 32))}` : `st_size=${getU64(view, 48)}`;
    return `{st_mode=${type}|0${(mode & 0o7777).toString(8)}, ${rest}, ...}`;
  },
};

export const AT_FLAGS = flags([[0x1000, "AT_EMPTY_PATH"], [0x100, "AT_SYMLINK_NOFOLLOW"], [0x800, "AT_NO_AUTOMOUNT"], [0x200, "AT_REMOVEDIR"], [0x2000, "AT_STATX_FORCE_SYNC"], [0x4000, "AT_STATX_DONT_SYNC"], [0x10000, "AT_EXECVE_CHECK"]]);
export const ACCESS_FLAGS = flags([[0x200, "AT_EACCESS"], [0x100, "AT_SYMLINK_NOFOLLOW"], [0x1000, "AT_EMPTY_PATH"]]);

const SA_NAMES: readonly (readonly [number, string])[] = [
  [1, "SA_NOCLDSTOP"], [2, "SA_NOCLDWAIT"], [4, "SA_SIGINFO"], [0x8000000, "SA_ONSTACK"], [0x10000000, "SA_RESTART"],
  [0x40000000, "SA_NODEFER"], [0x80000000, "SA_RESETHAND"],
];

export function sigaction(output: boolean): Format {
  return {
    output,
    show(t, value, args, result) {
      const view = output && result < 0 ? null : peek(t, value, 24);
      if (view === null) return POINTER.show(t, value, args, result);
      const handler = getU64(view, 0);
      const name = handler === 0 ? "SIG_DFL" : handler === 1 ? "SIG_IGN" : hex(handler);
      const mask = sigset(false).show(t, value + 16, args, result);
      return `{sa_handler=${name}, sa_mask=${mask}, sa_flags=${flagsText(view.getUint32(8, true), SA_NAMES, "0")}}`;
    },
  };
}

export const RESOURCE = oneOf({
  0: "RLIMIT_CPU", 1: "RLIMIT_FSIZE", 2: "RLIMIT_DATA", 3: "RLIMIT_STACK", 4: "RLIMIT_CORE", 5: "RLIMIT_RSS", 6: "RLIMIT_NPROC",
  7: "RLIMIT_NOFILE", 8: "RLIMIT_MEMLOCK", 9: "RLIMIT_AS", 10: "RLIMIT_LOCKS", 11: "RLIMIT_SIGPENDING", 12: "RLIMIT_MSGQUEUE",
  13: "RLIMIT_NICE", 14: "RLIMIT_RTPRIO", 15: "RLIMIT_RTTIME",
});

function limitText(view: DataView, at: number): string {
  const value = view.getBigUint64(at, true);
  if (value === 0xffff_ffff_ffff_ffffn) return "RLIM64_INFINITY";
  return value > 1024n && value % 1024n === 0n ? `${value / 1024n}*1024` : String(value);
}

export function rlimit(output: boolean): Format {
  return {
    output,
    show(t, value, args, result) {
      const view = output && result < 0 ? null : peek(t, value, 16);
      return view === null ? POINTER.show(t, value, args, result) : `{rlim_cur=${limitText(view, 0)}, rlim_max=${limitText(view, 8)}}`;
    },
  };
}

export const RANDOM_FLAGS = flags([[1, "GRND_NONBLOCK"], [2, "GRND_RANDOM"], [4, "GRND_INSECURE"]]);

export const WAIT_OPTIONS = flags([
  [1, "WNOHANG"], [2, "WSTOPPED"], [4, "WEXITED"], [8, "WCONTINUED"], [0x1000000, "WNOWAIT"],
  [0x20000000, "__WNOTHREAD"], [0x40000000, "__WALL"], [0x80000000, "__WCLONE"],
]);
export const ID_TYPE = oneOf({ 0: "P_ALL", 1: "P_PID", 2: "P_PGID", 3: "P_PIDFD" });

/** What wait4(2) stores of a child's end. */
export const WAIT_STATUS: Format = {
  output: true,
  show(t, value, args, result) {
    const view = result <= 0 ? null : peek(t, value, 4);
    if (view === null) return POINTER.show(t, value, args, result);
    const status = view.getInt32(0, true);
    const signo = status & 127;
    return signo === 0 ? `[{WIFEXITED(s) && WEXITSTATUS(s) == ${status >> 8}}]` : `[{WIFSIGNALED(s) && WTERMSIG(s) == ${signalName(signo)}}]`;
  },
};

/** What pipe2(2) stores: `[3, 4]`. */
export const FD_PAIR: Format = {
  output: true,
  show(t, value, args, result) {
    const view = result < 0 ? null : peek(t, value, 8);
    return view === null ? POINTER.show(t, value, args, result) : `[${view.getInt32(0, true)}, ${view.getInt32(4, true)}]`;
  },
};

/** Where a thread's id is stored: `[7]`. */
export const TID_OUT: Format = {
  output: true,
  show(t, value, args, result) {
    const view = result < 0 ? null : peek(t, value, 4);
    return view === null ? POINTER.show(t, value, args, result) : `[${view.getInt32(0, true)}]`;
  },
};

export function named(name: string, format: Format): Format {
  return { ...format, show: (t, value, args, result) => `${name}=${format.show(t, value, args, result) ?? ""}` };
}

export const UFFD_FLAGS = flags([[1, "UFFD_USER_MODE_ONLY"], [0o4000, "O_NONBLOCK"], [0o2000000, "O_CLOEXEC"]]);
export const PIPE_FLAGS = flags([[0o200, "O_NOTIFICATION_PIPE"], [0o4000, "O_NONBLOCK"], [0o40000, "O_DIRECT"], [0o2000000, "O_CLOEXEC"]]);
export const MSYNC_FLAGS = flags([[1, "MS_ASYNC"], [2, "MS_INVALIDATE"], [4, "MS_SYNC"]]);
export const MEMBARRIER_COMMAND = oneOf({
  0: "MEMBARRIER_CMD_QUERY", 1: "MEMBARRIER_CMD_GLOBAL", 2: "MEMBARRIER_CMD_GLOBAL_EXPEDITED", 4: "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED",
  8: "MEMBARRIER_CMD_PRIVATE_EXPEDITED", 16: "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED", 32: "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE",
  64: "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE",
});
export const FLUSH_ICACHE_FLAGS = flags([[1, "SYS_RISCV_FLUSH_ICACHE_LOCAL"]]);
export const FALLOC_MODE = flags([
  [1, "FALLOC_FL_KEEP_SIZE"], [2, "FALLOC_FL_PUNCH_HOLE"], [8, "FALLOC_FL_COLLAPSE_RANGE"], [0x10, "FALLOC_FL_ZERO_RANGE"],
  [0x20, "FALLOC_FL_INSERT_RANGE"], [0x40, "FALLOC_FL_UNSHARE_RANGE"], [0x80, "FALLOC_FL_WRITE_ZEROES"],
]);
export const FADVICE = oneOf({
  0: "POSIX_FADV_NORMAL", 1: "POSIX_FADV_RANDOM", 2: "POSIX_FADV_SEQUENTIAL", 3: "POSIX_FADV_WILLNEED", 4: "POSIX_FADV_DONTNEED",
  5: "POSIX_FADV_NOREUSE",
});
export const CLOEXEC = flags([[0o2000000, "O_CLOEXEC"]]);
export const MFD_FLAGS = flags([[1, "MFD_CLOEXEC"], [2, "MFD_ALLOW_SEALING"], [4, "MFD_HUGETLB"], [8, "MFD_NOEXEC_SEAL"], [0x10, "MFD_EXEC"]]);
export const CLOSE_RANGE_FLAGS = flags([[2, "CLOSE_RANGE_UNSHARE"], [4, "CLOSE_RANGE_CLOEXEC"]]);
export const FCNTL_COMMAND = oneOf({
  0: "F_DUPFD", 1: "F_GETFD", 2: "F_SETFD", 3: "F_GETFL", 4: "F_SETFL", 5: "F_GETLK", 6: "F_SETLK", 7: "F_SETLKW", 8: "F_SETOWN",
  9: "F_GETOWN", 10: "F_SETSIG", 11: "F_GETSIG", 15: "F_SETOWN_EX", 16: "F_GETOWN_EX", 17: "F_GETOWNER_UIDS", 36: "F_OFD_GETLK", 37: "F_OFD_SETLK", 38: "F_OFD_SETLKW",
  1027: "F_DUPFD_QUERY", 1028: "F_CREATED_QUERY", 1024: "F_SETLEASE", 1025: "F_GETLEASE", 1026: "F_NOTIFY", 1030: "F_DUPFD_CLOEXEC",
  1031: "F_SETPIPE_SZ", 1032: "F_GETPIPE_SZ", 1033: "F_ADD_SEALS", 1034: "F_GET_SEALS",
});
export const RUSAGE_WHO = oneOf({ [-1]: "RUSAGE_CHILDREN", 0: "RUSAGE_SELF", 1: "RUSAGE_THREAD" });
export const TIMER_FLAGS = flags([[1, "TIMER_ABSTIME"]]);
export const PRCTL_OPTION = oneOf({
  1: "PR_SET_PDEATHSIG", 2: "PR_GET_PDEATHSIG", 3: "PR_GET_DUMPABLE", 4: "PR_SET_DUMPABLE", 15: "PR_SET_NAME", 16: "PR_GET_NAME",
  22: "PR_SET_SECCOMP", 35: "PR_SET_MM", 38: "PR_SET_NO_NEW_PRIVS", 39: "PR_GET_NO_NEW_PRIVS", 41: "PR_SET_THP_DISABLE",
  42: "PR_GET_THP_DISABLE", 33: "PR_MCE_KILL", 34: "PR_MCE_KILL_GET", 36: "PR_SET_CHILD_SUBREAPER", 37: "PR_GET_CHILD_SUBREAPER", 29: "PR_SET_TIMERSLACK", 30: "PR_GET_TIMERSLACK", 40: "PR_GET_TID_ADDRESS", 65: "PR_SET_MDWE", 66: "PR_GET_MDWE", 67: "PR_SET_MEMORY_MERGE", 68: "PR_GET_MEMORY_MERGE", 0x53564d41: "PR_SET_VMA",
});
