import { Errno, NSEC_PER_SEC, REALTIME_AT_BOOT_S, Restart, type FutexWaitv, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct, readTimespec } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const FUTEX_PRIVATE = 128;
const FUTEX_CLOCK_REALTIME = 256;
enum Futex {
  WAIT = 0,
  WAKE = 1,
  REQUEUE = 3,
  CMP_REQUEUE = 4,
  WAKE_OP = 5,
  LOCK_PI = 6,
  UNLOCK_PI = 7,
  TRYLOCK_PI = 8,
  WAIT_BITSET = 9,
  WAKE_BITSET = 10,
  LOCK_PI2 = 13,
}
const MATCH_ANY = 0xffff_ffff;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

/** A point in time, in nanoseconds of machine time; Infinity for none, or a negated errno. */
function* readDeadline(t: GuestThread, address: number, realtime: boolean): MaySleep<number> {
  if (address === 0) return Infinity;
  const ns = yield* readTimespec(t.k, address);
  if (ns < 0) return ns;
  return Math.max(0, realtime ? ns - REALTIME_AT_BOOT_S * NSEC_PER_SEC : ns);
}

const futex: Handler = function* (t, [address, op, value, argument3, address2, value3]) {
  const { k } = t;
  const command = int(op!) & ~(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME);
  const realtime = (op! & FUTEX_CLOCK_REALTIME) !== 0;
  if (realtime && command !== Futex.WAIT_BITSET && command !== Futex.LOCK_PI2) return -Errno.ENOSYS;
  const shared = (op! & FUTEX_PRIVATE) === 0;
  switch (command) {
    case Futex.WAIT: {
      let deadline = Infinity;
      if (argument3 !== 0) {
        const ns = yield* readTimespec(t.k, argument3!);
        if (ns < 0) return ns;
        deadline = t.resumes ?? k.m.now() + ns;
      }
      return yield* wait(t, address!, shared, value! >>> 0, MATCH_ANY, deadline);
    }
    case Futex.WAIT_BITSET: {
      const deadline = yield* readDeadline(t, argument3!, realtime);
      return deadline < 0 ? deadline : yield* wait(t, address!, shared, value! >>> 0, value3! >>> 0, deadline);
    }
    case Futex.WAKE:
      return yield* k.futex.futexWake(k, address!, shared, int(value!), MATCH_ANY);
    case Futex.WAKE_BITSET:
      return yield* k.futex.futexWake(k, address!, shared, int(value!), value3! >>> 0);
    case Futex.REQUEUE:
      return yield* k.futex.futexRequeue(k, address!, address2!, shared, int(value!), int(argument3!), null);
    case Futex.CMP_REQUEUE:
      return yield* k.futex.futexRequeue(k, address!, address2!, shared, int(value!), int(argument3!), value3! >>> 0);
    case Futex.WAKE_OP:
      return yield* k.futex.futexWakeOp(k, address!, address2!, shared, int(value!), int(argument3!), int(value3!));
    case Futex.LOCK_PI:
    case Futex.LOCK_PI2: {
      const deadline = yield* readDeadline(t, argument3!, realtime || command === Futex.LOCK_PI);
      return deadline < 0 ? deadline : yield* k.futexPi.futexLockPi(k, address!, shared, deadline, false);
    }
    case Futex.TRYLOCK_PI:
      return yield* k.futexPi.futexLockPi(k, address!, shared, Infinity, true);
    case Futex.UNLOCK_PI:
      return yield* k.futexPi.futexUnlockPi(k, address!, shared);
    default:
      return -Errno.ENOSYS;
  }
};

function* wait(t: GuestThread, address: number, shared: boolean, value: number, bitset: number, deadline: number): MaySleep<number> {
  const result = yield* t.k.futex.futexWait(t.k, address, shared, value, bitset, deadline);
  if (result === -Restart.ERESTART_RESTARTBLOCK) t.resumes = deadline;
  return result;
}

/* futex2: the size is among the flags, and 32 bits is the only one; FUTEX2_NUMA and FUTEX2_MPOL are not there. */
const FUTEX2_SIZE_MASK = 3;
const FUTEX2_SIZE_U32 = 2;
const WAITV_BYTES = 24;
const FUTEX_WAITV_MAX = 128;
const FUTEX2_FLAGS = F.flags([[1, "FUTEX2_SIZE_U16"], [2, "FUTEX2_SIZE_U32"], [4, "FUTEX2_NUMA"], [8, "FUTEX2_MPOL"], [128, "FUTEX2_PRIVATE"]]);

function validFlags(flags: number): boolean {
  return (flags & ~(FUTEX2_SIZE_MASK | FUTEX_PRIVATE)) === 0 && (flags & FUTEX2_SIZE_MASK) === FUTEX2_SIZE_U32;
}

/** An array of struct futex_waitv, or a negated errno. */
function* readWaitv(t: GuestThread, address: number, count: number): MaySleep<FutexWaitv[] | number> {
  const futexes: FutexWaitv[] = [];
  for (let i = 0; i < count; i++) {
    const view = yield* readStruct(t.k, address + i * WAITV_BYTES, WAITV_BYTES);
    if (view === null) return -Errno.EFAULT;
    const flags = view.getUint32(16, true);
    if (!validFlags(flags) || view.getUint32(20, true) !== 0 || view.getUint32(4, true) !== 0) return -Errno.EINVAL;
    futexes.push({ value: view.getUint32(0, true), address: getU64(view, 8), shared: (flags & FUTEX_PRIVATE) === 0 });
  }
  return futexes;
}

function* readClockDeadline(t: GuestThread, address: number, clock: number): MaySleep<number> {
  if (address !== 0 && clock !== CLOCK_REALTIME && clock !== CLOCK_MONOTONIC) return -Errno.EINVAL;
  return yield* readDeadline(t, address, clock === CLOCK_REALTIME);
}

const futexWaitv: Handler = function* (t, [waiters, count, flags, timeout, clock]) {
  if (int(flags!) !== 0 || count === 0 || count! > FUTEX_WAITV_MAX || waiters === 0) return -Errno.EINVAL;
  const deadline = yield* readClockDeadline(t, timeout!, int(clock!));
  if (deadline < 0) return deadline;
  const futexes = yield* readWaitv(t, waiters!, count!);
  return typeof futexes === "number" ? futexes : yield* t.k.futexWaitv.futexWaitMultiple(t.k, futexes, deadline);
};

const futexWake: Handler = function* (t, [address, mask, count, flags]) {
  if (!validFlags(flags! >>> 0) || mask! > MATCH_ANY) return -Errno.EINVAL;
  // Unlike FUTEX_WAKE, none is none.
  return yield* t.k.futex.futexWake(t.k, address!, (flags! & FUTEX_PRIVATE) === 0, int(count!), mask!, true);
};

const futexWait: Handler = function* (t, [address, value, mask, flags, timeout, clock]) {
  if (!validFlags(flags! >>> 0) || value! > MATCH_ANY || mask! > MATCH_ANY) return -Errno.EINVAL;
  const deadline = yield* readClockDeadline(t, timeout!, int(clock!));
  return deadline < 0 ? deadline : yield* wait(t, address!, (flags! & FUTEX_PRIVATE) === 0, value!, mask!, deadline);
};

const futexRequeue: Handler = function* (t, [waiters, flags, wake, requeue]) {
  if (int(flags!) !== 0 || waiters === 0) return -Errno.EINVAL;
  const futexes = yield* readWaitv(t, waiters!, 2);
  if (typeof futexes === "number") return futexes;
  const [from, to] = futexes as [FutexWaitv, FutexWaitv];
  // That one is shared and the other is not does not happen.
  return yield* t.k.futex.futexRequeue(t.k, from.address, to.address, from.shared, int(wake!), int(requeue!), from.value);
};

export const FUTEX: readonly (readonly [number, Syscall])[] = [
  [98, call("futex", [F.POINTER, F.FUTEX_OP, F.INT, F.FUTEX_ARG3, F.FUTEX_ARG4, F.FUTEX_ARG5], futex, "no FUTEX_WAIT_REQUEUE_PI, no FUTEX_CMP_REQUEUE_PI")],
  [449, call("futex_waitv", [F.POINTER, F.INT, F.HEX, F.TIMESPEC, F.CLOCK], futexWaitv)],
  [454, call("futex_wake", [F.POINTER, F.HEX, F.INT, FUTEX2_FLAGS], futexWake)],
  [455, call("futex_wait", [F.POINTER, F.HEX, F.HEX, FUTEX2_FLAGS, F.TIMESPEC, F.CLOCK], futexWait)],
  [456, call("futex_requeue", [F.POINTER, F.HEX, F.INT, F.INT], futexRequeue, "both futexes are shared, or both are private")],
];
