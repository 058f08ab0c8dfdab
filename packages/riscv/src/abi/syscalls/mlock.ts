import { Errno, MLOCK_ONFAULT, VM } from "@faultline/kernel";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const mlock: Handler = function* (t, [address, length]) {
  return yield* t.k.mlock.doMlock(t.k, t.task.mm!, address!, length!, VM.LOCKED);
};

const mlock2: Handler = function* (t, [address, length, flags]) {
  if ((int(flags!) & ~MLOCK_ONFAULT) !== 0) return -Errno.EINVAL;
  const onFault = (int(flags!) & MLOCK_ONFAULT) !== 0 ? VM.LOCKONFAULT : 0;
  return yield* t.k.mlock.doMlock(t.k, t.task.mm!, address!, length!, VM.LOCKED | onFault);
};

const munlock: Handler = function* (t, [address, length]) {
  return yield* t.k.mlock.doMunlock(t.k, t.task.mm!, address!, length!);
};

const mlockall: Handler = function* (t, [flags]) {
  return yield* t.k.mlock.doMlockall(t.k, t.task.mm!, int(flags!));
};

const munlockall: Handler = function* (t) {
  return yield* t.k.mlock.doMunlockall(t.k, t.task.mm!);
};

const RANGE = [F.POINTER, F.SIZE];

export const MLOCK: readonly (readonly [number, Syscall])[] = [
  [228, call("mlock", RANGE, mlock)],
  [229, call("munlock", RANGE, munlock)],
  [230, call("mlockall", [F.MLOCKALL_FLAGS], mlockall)],
  [231, call("munlockall", [], munlockall)],
  [284, call("mlock2", [...RANGE, F.MLOCK_FLAGS], mlock2)],
];
