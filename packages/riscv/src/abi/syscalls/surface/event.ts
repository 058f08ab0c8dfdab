import { Errno, O } from "@faultline/kernel";
import { AT, bits, FD, noFd, noMemory, values, type Surfaces } from "./surface.js";

const { EBADF, EINVAL, EPERM, EFAULT } = Errno;

export const EVENT: Surfaces = {
  eventfd2: { example: [1, 0], takes: { 1: bits([0, 1, 0o4000, 0o2000000], EINVAL) } },
  epoll_create1: { example: [0], takes: { 0: bits([0, 0o2000000], EINVAL) } },
  epoll_ctl: {
    example: [FD.pipeOut, 1, FD.pipeIn, AT.page],
    gives: EINVAL,
    refuses: [noFd(0), noFd(2), [EPERM, "a file", { 2: FD.file }], [EFAULT, "memory that is not mapped", { 3: AT.hole }]],
  },
  epoll_pwait: {
    example: [FD.pipeOut, AT.page, 1, 0, 0, 8],
    gives: EINVAL,
    refuses: [noFd(0), [EINVAL, "no events", { 2: 0 }], [EINVAL, "a signal mask of another size", { 4: AT.page, 5: 4 }], noMemory(4)],
  },
  timerfd_create: {
    example: [1, 0],
    takes: { 0: values([0, 1, 7, 8, 9], EINVAL), 1: bits([0, O.CLOEXEC, O.NONBLOCK], EINVAL) },
  },
  timerfd_settime: {
    example: [FD.file, 0, [0, 0, 1, 0], 0],
    gives: EINVAL,
    refuses: [noFd(0), noMemory(2), [EINVAL, "a billion nanoseconds", { 2: [0, 0, 0, 1e9] }], [EINVAL, "unknown flags", { 1: 4 }], [EINVAL, "a file", {}]],
  },
  timerfd_gettime: { example: [FD.file, AT.page], gives: EINVAL, refuses: [noFd(0), [EINVAL, "a file", {}]] },
  signalfd4: {
    example: [-1, [1], 8, 0],
    takes: { 3: bits([0, O.CLOEXEC, O.NONBLOCK], EINVAL) },
    refuses: [noFd(0), noMemory(1), [EINVAL, "a mask that is not of 8 bytes", { 2: 4 }], [EINVAL, "a file", { 0: FD.file }]],
  },
  pselect6: {
    example: [FD.file + 1, [1 << FD.file], 0, 0, [0, 0], 0],
    refuses: [
      noMemory(1),
      noMemory(4),
      noMemory(5),
      [EBADF, "no such descriptor", { 0: 64, 1: [2 ** 50] }],
      [EINVAL, "a negative number", { 0: -1 }],
      [EINVAL, "a billion nanoseconds", { 4: [0, 1e9] }],
      [EINVAL, "a signal mask of another size", { 5: [AT.page, 4] }],
    ],
  },
  epoll_pwait2: {
    example: [FD.pipeOut, AT.page, 1, [0, 0], 0, 8],
    gives: EINVAL,
    refuses: [noFd(0), [EINVAL, "no events", { 2: 0 }], noMemory(3), [EINVAL, "a billion nanoseconds", { 3: [0, 1e9] }]],
  },
};
