import { Errno } from "@faultline/kernel";
import { AT, bits, FD, noFd, noMemory, type Surfaces } from "./surface.js";

const { EINVAL, EPERM, EFAULT } = Errno;

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
  epoll_pwait2: {
    example: [FD.pipeOut, AT.page, 1, [0, 0], 0, 8],
    gives: EINVAL,
    refuses: [noFd(0), [EINVAL, "no events", { 2: 0 }], noMemory(3), [EINVAL, "a billion nanoseconds", { 3: [0, 1e9] }]],
  },
};
