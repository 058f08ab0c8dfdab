import { Errno } from "@faultline/kernel";
import { AT, bits, FD, noFd, type Refusal, type Surfaces } from "./surface.js";

const { EBADF, EINVAL, ESRCH } = Errno;
const NOBODY = 4_000_000;
/** The caller itself (PIDFD_SELF_THREAD_GROUP). */
const SELF = -10_001;
const noPidfd = (index: number): Refusal => [EBADF, "a descriptor of something else", { [index]: FD.file }];

export const PIDFD: Surfaces = {
  pidfd_open: {
    example: [1, 0],
    takes: { 1: bits([0, 0o4000, 0o200], EINVAL) },
    refuses: [[ESRCH, "no such process", { 0: NOBODY }], [EINVAL, "no process's id", { 0: 0 }]],
  },
  pidfd_send_signal: {
    example: [SELF, 0, 0, 0],
    takes: { 3: bits([0, 1, 2], EINVAL, [4]) },
    refuses: [noFd(0), noPidfd(0), [EINVAL, "no such signal", { 1: 65 }], [EINVAL, "two scopes", { 3: 3 }], [EINVAL, "details of another signal", { 1: 10, 2: [9] }], [Errno.EFAULT, "memory that is not mapped", { 2: AT.hole }]],
  },
  pidfd_getfd: {
    example: [FD.closed, 0, 0],
    gives: EBADF,
    refuses: [noPidfd(0), [EINVAL, "flags", { 2: 1 }]],
  },
  process_mrelease: {
    example: [FD.closed, 0],
    gives: EBADF,
    refuses: [noPidfd(0), [EINVAL, "flags", { 1: 1 }]],
  },
};
