import { Errno } from "@faultline/kernel";
import { AT, FD, noFd, noMemory, values, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, ENOTSOCK, EBADF } = Errno;
const noSocket: Refusal = [ENOTSOCK, "a file", { 0: FD.file }];
const gone = { example: [FD.closed, AT.page, 0], gives: EBADF, refuses: [noSocket] };

export const SOCKET: Surfaces = {
  socket: { example: [77, 1, 0], gives: Errno.EAFNOSUPPORT },
  socketpair: {
    example: [1, 1, 0, AT.page],
    takes: { 1: values([1, 2, 3, 5, 1 | 0o4000, 1 | 0o2000000], EINVAL, [-1, 77, 12345, 0x7fffffff]) },
    refuses: [
      [EINVAL, "unknown flags", { 1: 0x101 }],
      [Errno.EAFNOSUPPORT, "no such family", { 0: 77 }],
      [Errno.ESOCKTNOSUPPORT, "no such type", { 1: 4 }],
      [Errno.EPROTONOSUPPORT, "no such protocol", { 2: 7 }],
      noMemory(3),
    ],
  },
  sendto: { example: [FD.closed, AT.page, 1, 0, 0, 0], gives: EBADF, refuses: [noSocket] },
  recvfrom: { example: [FD.closed, AT.page, 1, 0, 0, 0], gives: EBADF, refuses: [noSocket] },
  shutdown: { example: [FD.closed, 0], gives: EBADF, refuses: [noFd(0), noSocket] },
  sendmsg: gone,
  recvmsg: gone,
};
