import { Errno } from "@faultline/kernel";
import { AT, bits, noMemory, values, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, EFAULT, ESRCH, ENOSYS, EAGAIN, EPERM, ETIMEDOUT } = Errno;
const NOBODY = 4_000_000;
const noThread = (index: number): Refusal => [ESRCH, "no such thread", { [index]: NOBODY }];
const CLOCKS = [0, 1, 2, 3, 4, 5, 6, 7, 11];
/** Two of struct futex_waitv, of words that are 0. */
const WAITS = [0, AT.page, 2, 0, AT.page + 8, 2];
const OTHERS = [1, AT.page, 2, 0, AT.page + 8, 2];
const TOO_MANY = [0, 1_000_000_000];

export const TIME: Surfaces = {
  futex: {
    example: [AT.page, 1, 1, 0, 0, 0],
    refuses: [
      [EINVAL, "address that is no multiple of 4", { 0: AT.page + 1 }],
      [EFAULT, "memory that is not mapped", { 0: AT.hole }],
      [EAGAIN, "FUTEX_WAIT, and another value", { 1: 0, 2: 7 }],
      [ETIMEDOUT, "FUTEX_WAIT, after its time", { 1: 0, 2: 0, 3: [0, 1000] }],
      [EINVAL, "a time that is none", { 1: 0, 2: 0, 3: TOO_MANY }],
      [EINVAL, "an empty bit set", { 1: 10, 5: 0 }],
      [ENOSYS, "unknown operation", { 1: 77 }],
      [EPERM, "FUTEX_UNLOCK_PI of what is not one's own", { 1: 7 }],
    ],
  },
  futex_waitv: {
    example: [WAITS, 2, 0, [0, 1], 1],
    gives: ETIMEDOUT,
    refuses: [
      [EINVAL, "none", { 1: 0 }],
      [EINVAL, "more than 128", { 1: 129 }],
      [EINVAL, "flags", { 2: 1 }],
      [EINVAL, "a clock that is neither of the two", { 4: 7 }],
      [EINVAL, "a time that is none", { 3: TOO_MANY }],
      [EFAULT, "memory that is not mapped", { 0: AT.hole }],
      [EAGAIN, "another value", { 0: OTHERS }],
    ],
  },
  futex_wake: { example: [AT.page, 1, 1, 2], refuses: [[EINVAL, "a size that there is not", { 3: 0 }], [EINVAL, "address that is no multiple of 4", { 0: AT.page + 1 }], [EINVAL, "an empty bit set", { 1: 0 }], [EFAULT, "memory that is not mapped", { 0: AT.hole }]] },
  futex_wait: {
    example: [AT.page, 7, 1, 2, 0, 1],
    gives: EAGAIN,
    refuses: [
      [EINVAL, "a size that there is not", { 3: 0 }],
      [EINVAL, "an empty bit set", { 2: 0 }],
      [ETIMEDOUT, "after its time", { 1: 0, 4: [0, 1] }],
      [EFAULT, "memory that is not mapped", { 0: AT.hole }],
    ],
  },
  futex_requeue: { example: [WAITS, 0, 1, 1], refuses: [[EINVAL, "flags", { 1: 1 }], [EAGAIN, "another value", { 0: OTHERS }], noMemory(0)] },
  nanosleep: { example: [[0, 1000], 0], refuses: [noMemory(0), [EINVAL, "a billion nanoseconds", { 0: TOO_MANY }], [EINVAL, "negative time", { 0: [-1, 0] }]] },
  getitimer: { example: [0, AT.page], takes: { 0: values([0, 1, 2], EINVAL) }, refuses: [noMemory(1)] },
  setitimer: { example: [0, [0, 0, 0, 0], AT.page], takes: { 0: values([0, 1, 2], EINVAL) }, refuses: [noMemory(1), noMemory(2), [EINVAL, "a million microseconds", { 1: [0, 1_000_000, 0, 0] }]] },
  clock_gettime: { example: [1, AT.page], takes: { 0: values(CLOCKS, EINVAL) }, refuses: [noMemory(1)] },
  clock_getres: { example: [1, AT.page], takes: { 0: values(CLOCKS, EINVAL) }, refuses: [noMemory(1)] },
  clock_nanosleep: {
    example: [1, 0, [0, 1000], 0],
    takes: { 1: bits([0, 1], 0) },
    refuses: [noMemory(2), [EINVAL, "no such clock", { 0: 77 }], [Errno.EOPNOTSUPP, "a clock that nobody sleeps by", { 0: 4 }], [EINVAL, "a billion nanoseconds", { 2: TOO_MANY }]],
  },
  sched_setaffinity: { example: [0, 8, [1]], refuses: [noThread(0), [EINVAL, "no CPU that there is", { 2: [0] }], noMemory(2)] },
  sched_getaffinity: { example: [0, 128, AT.page], refuses: [noThread(0), [EINVAL, "less than the CPUs need", { 1: 0 }], noMemory(2)] },
  sched_yield: { example: [] },
  times: { example: [AT.page], refuses: [noMemory(0)] },
  getcpu: { example: [AT.page, AT.page, 0], refuses: [noMemory(0), noMemory(1)] },
  gettimeofday: { example: [AT.page, 0], refuses: [noMemory(0), noMemory(1)] },
};
