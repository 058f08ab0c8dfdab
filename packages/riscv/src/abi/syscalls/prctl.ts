import { CAP_LAST, Errno, Event, NSIG, Op, SWITCH, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { bytesOf, readUser } from "../user.js";
import { setMm } from "./set_mm.js";
import { int, type Handler } from "./syscall.js";

/** Filters are not there. */
const SECCOMP_MODE_STRICT = 1;

enum Prctl {
  SET_PDEATHSIG = 1,
  GET_PDEATHSIG = 2,
  GET_DUMPABLE = 3,
  SET_DUMPABLE = 4,
  GET_KEEPCAPS = 7,
  GET_TIMING = 13,
  SET_TIMING = 14,
  SET_NAME = 15,
  GET_NAME = 16,
  GET_SECCOMP = 21,
  SET_SECCOMP = 22,
  CAPBSET_READ = 23,
  GET_SECUREBITS = 27,
  SET_TIMERSLACK = 29,
  GET_TIMERSLACK = 30,
  MCE_KILL = 33,
  MCE_KILL_GET = 34,
  SET_MM = 35,
  SET_CHILD_SUBREAPER = 36,
  GET_CHILD_SUBREAPER = 37,
  SET_NO_NEW_PRIVS = 38,
  GET_NO_NEW_PRIVS = 39,
  GET_TID_ADDRESS = 40,
  SET_THP_DISABLE = 41,
  GET_THP_DISABLE = 42,
  SET_MDWE = 65,
  GET_MDWE = 66,
  SET_MEMORY_MERGE = 67,
  GET_MEMORY_MERGE = 68,
  SET_VMA = 0x53564d41,
}

const COMM_LENGTH = 16;
const TIMERSLACK_DEFAULT_NS = 50_000;
const PR_SET_VMA_ANON_NAME = 0;
/** Longest name of anonymous memory, with its NUL. */
const ANON_NAME_LENGTH = 80;
/** PR_MCE_KILL_*. */
const MCE_KILL_CLEAR = 0;
const MCE_KILL_SET = 1;
const MCE_KILL_DEFAULT = 2;

/** An option, given the four arguments behind it. */
type Option = (t: GuestThread, a: number, b: number, c: number, d: number) => MaySleep<number>;

/** Refuses everything but zeros from an argument on, the first being 0. */
function strict(from: number, option: Option): Option {
  return function* (t, ...args) {
    return args.slice(from).some((value) => value !== 0) ? -Errno.EINVAL : yield* option(t, ...args);
  };
}

/** Stores an int at the address that the first argument is. */
function answer(value: (t: GuestThread) => number): Option {
  return function* (t, address) {
    return yield* t.k.uaccess.putUser32(t.k, address, value(t));
  };
}

function constant(value: number): Option {
  return function* () {
    return value;
  };
}

/** Bytes up to a NUL, as many as `max`; `ended` tells whether there was one. Null for a bad address. */
function* readText(t: GuestThread, address: number, max: number): MaySleep<{ text: string; ended: boolean } | null> {
  let text = "";
  for (let i = 0; i < max; i++) {
    const byte = yield* readUser(t.k, address + i, 1);
    if (byte === null) return null;
    if (byte[0] === 0) return { text, ended: true };
    text += String.fromCharCode(byte[0]!);
  }
  return { text, ended: false };
}

const setName: Option = function* (t, address) {
  const { k, task } = t;
  const name = yield* readText(t, address, COMM_LENGTH - 1);
  if (name === null) return -Errno.EFAULT;
  task.comm = name.text;
  k.m.sink?.emit(Event.TaskRename, task.id, task.process!.oomScoreAdj, 0, 0);
  if (task.id === task.process!.pid) task.process!.comm = name.text;
  return 0;
};

const getName: Option = function* ({ k, task }, address) {
  const bytes = new Uint8Array(COMM_LENGTH);
  bytes.set(bytesOf(task.comm).subarray(0, COMM_LENGTH - 1));
  return yield* k.uaccess.copyToUser(k, address, bytes);
};

const setVma: Option = function* (t, what, start, length, address) {
  if (what !== PR_SET_VMA_ANON_NAME) return -Errno.EINVAL;
  let name: string | null = null;
  if (address !== 0) {
    const read = yield* readText(t, address, ANON_NAME_LENGTH);
    if (read === null) return -Errno.EFAULT;
    // What could be taken for something else in a line of maps, or by a shell, is none.
    if (!read.ended || /[^ -~]|[\\`$[\]]/.test(read.text)) return -Errno.EINVAL;
    name = read.text;
  }
  return yield* t.k.anonName.setAnonName(t.k, t.task.mm!, start, length, name);
};

const setMceKill: Option = function* ({ task }, what, policy) {
  if (what === MCE_KILL_CLEAR) {
    if (policy !== 0) return -Errno.EINVAL;
    task.process!.mceKill = MCE_KILL_DEFAULT;
  } else if (what === MCE_KILL_SET) {
    if (policy !== 0 && policy !== 1 && policy !== MCE_KILL_DEFAULT) return -Errno.EINVAL;
    task.process!.mceKill = policy;
  } else return -Errno.EINVAL;
  return 0;
};

const setDeathSignal: Option = function* ({ k, task }, signo) {
  if (signo < 0 || signo > NSIG) return -Errno.EINVAL;
  if (k.m.point(Op.Process, task.process!.pid)) yield SWITCH;
  task.thread.deathSignal = signo;
  return 0;
};

const setSubreaper: Option = function* ({ k, task }, on) {
  if (k.m.point(Op.Process, task.process!.pid)) yield SWITCH;
  task.process!.isSubreaper = on !== 0;
  return 0;
};

const OPTIONS = new Map<number, Option>([
  [Prctl.SET_PDEATHSIG, setDeathSignal],
  [Prctl.GET_PDEATHSIG, answer(({ task }) => task.thread.deathSignal)],
  [
    Prctl.GET_DUMPABLE,
    function* ({ task }) {
      return task.mm!.dumpable;
    },
  ],
  [
    Prctl.SET_DUMPABLE,
    function* ({ task }, value) {
      if (value !== 0 && value !== 1) return -Errno.EINVAL;
      task.mm!.dumpable = value;
      return 0;
    },
  ],
  [Prctl.GET_KEEPCAPS, constant(0)],
  [Prctl.GET_TIMING, constant(0)],
  [
    Prctl.SET_TIMING,
    function* (_t, value) {
      return value === 0 ? 0 : -Errno.EINVAL;
    },
  ],
  [Prctl.SET_NAME, setName],
  [Prctl.GET_NAME, getName],
  [Prctl.GET_SECCOMP, constant(0)],
  [
    Prctl.SET_SECCOMP,
    function* ({ task }, mode) {
      if (mode !== SECCOMP_MODE_STRICT) return -Errno.EINVAL;
      task.thread.seccompStrict = true;
      return 0;
    },
  ],
  [
    Prctl.CAPBSET_READ,
    function* (_t, cap) {
      return cap >= 0 && cap <= CAP_LAST ? 1 : -Errno.EINVAL;
    },
  ],
  [Prctl.GET_SECUREBITS, constant(0)],
  [
    Prctl.SET_TIMERSLACK,
    function* ({ task }, ns) {
      task.thread.timerSlackNs = ns <= 0 ? TIMERSLACK_DEFAULT_NS : ns;
      return 0;
    },
  ],
  [
    Prctl.GET_TIMERSLACK,
    function* ({ task }) {
      return task.thread.timerSlackNs;
    },
  ],
  [Prctl.MCE_KILL, strict(2, setMceKill)],
  [
    Prctl.MCE_KILL_GET,
    strict(0, function* ({ task }) {
      return task.process!.mceKill;
    }),
  ],
  [Prctl.SET_MM, setMm],
  [Prctl.SET_CHILD_SUBREAPER, setSubreaper],
  [Prctl.GET_CHILD_SUBREAPER, answer(({ task }) => (task.process!.isSubreaper ? 1 : 0))],
  [
    Prctl.SET_NO_NEW_PRIVS,
    strict(1, function* ({ task }, on) {
      if (on !== 1) return -Errno.EINVAL;
      task.process!.noNewPrivs = true;
      return 0;
    }),
  ],
  [
    Prctl.GET_NO_NEW_PRIVS,
    strict(0, function* ({ task }) {
      return task.process!.noNewPrivs ? 1 : 0;
    }),
  ],
  [
    Prctl.GET_TID_ADDRESS,
    function* ({ k, task }, address) {
      return yield* k.uaccess.putUser64(k, address, BigInt(task.clearChildTid));
    },
  ],
  [
    Prctl.SET_THP_DISABLE,
    strict(2, function* ({ k, task }, on, flags) {
      return yield* k.hugeMemory.setThpDisable(k, task.mm!, on !== 0, flags);
    }),
  ],
  [
    Prctl.GET_THP_DISABLE,
    strict(0, function* ({ k, task }) {
      return k.hugeMemory.getThpDisable(k, task.mm!);
    }),
  ],
  [
    Prctl.SET_MDWE,
    strict(1, function* ({ k, task }, bits) {
      return yield* k.mdwe.setMdwe(k, task.mm!, bits);
    }),
  ],
  [
    Prctl.GET_MDWE,
    strict(0, function* ({ task }) {
      return task.mm!.mdwe;
    }),
  ],
  [
    Prctl.SET_MEMORY_MERGE,
    strict(1, function* ({ k, task }, on) {
      return yield* k.ksm.setMergeAny(k, task.mm!, on !== 0);
    }),
  ],
  [
    Prctl.GET_MEMORY_MERGE,
    strict(0, function* ({ task }) {
      return task.mm!.mergeAny ? 1 : 0;
    }),
  ],
  [Prctl.SET_VMA, setVma],
]);

export const prctl: Handler = function* (t, [option, a, b, c, d]) {
  const known = OPTIONS.get(int(option!));
  return known === undefined ? -Errno.EINVAL : yield* known(t, a!, b!, c!, d!);
};
