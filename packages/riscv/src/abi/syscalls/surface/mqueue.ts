import { Errno, O } from "@faultline/kernel";
import { AT, FD, noMemory, PAGE, type Refusal, type Surfaces } from "./surface.js";

const { EACCES, EBADF, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOTSOCK } = Errno;
const RDWR = O.RDWR | O.CREAT;
const names = (...others: Refusal[]): readonly Refusal[] => [
  [ENOENT, "no name", { 0: "" }],
  [EACCES, "a name with a slash", { 0: "a/b" }],
  [EACCES, "a dot", { 0: "." }],
  [ENAMETOOLONG, "a name of 256 bytes", { 0: "n".repeat(256) }],
  noMemory(0),
  ...others,
];
/** What needs a queue that there is not: programs/mqueue.c has some. */
const noQueue: readonly Refusal[] = [[EBADF, "a file", { 0: FD.file }], [EBADF, "no such descriptor", { 0: FD.closed }]];
const times = (index: number): readonly Refusal[] => [[EINVAL, "a billion nanoseconds", { [index]: [0, 1e9] }], [EFAULT, "a time in memory that is not mapped", { [index]: AT.hole }]];

export const MQUEUE: Surfaces = {
  mq_open: {
    example: ["faultline-surface", RDWR, 0o600, 0],
    refuses: names(
      [ENOENT, "no such queue", { 0: "missing", 1: O.RDWR }],
      [EINVAL, "no messages", { 0: "missing", 3: [0, 0, 1] }],
      [EINVAL, "messages of no bytes", { 0: "missing", 3: [0, 1, 0] }],
      [EFAULT, "attributes in memory that is not mapped", { 3: AT.hole }],
    ),
  },
  mq_unlink: { example: ["missing"], gives: ENOENT, refuses: names() },
  mq_timedsend: { example: [FD.file, AT.page, 1, 0, 0], gives: EBADF, refuses: [...noQueue, ...times(4), [EINVAL, "no such priority", { 3: 32_768 }]] },
  mq_timedreceive: { example: [FD.file, AT.page, PAGE, 0, 0], gives: EBADF, refuses: [...noQueue, ...times(4)] },
  mq_notify: {
    example: [FD.file, 0],
    gives: EBADF,
    refuses: [...noQueue, noMemory(1), [EINVAL, "no such way", { 1: [0, 9 * 2 ** 32] }], [EINVAL, "no such signal", { 1: [0, 65] }], [ENOTSOCK, "SIGEV_THREAD with no socket", { 1: [AT.page, 2 * 2 ** 32 + FD.file] }], [EFAULT, "SIGEV_THREAD with no cookie", { 1: [AT.hole, 2 * 2 ** 32 + FD.file] }]],
  },
  mq_getsetattr: { example: [FD.file, 0, 0], gives: EBADF, refuses: [...noQueue, noMemory(1), [EINVAL, "unknown flags", { 1: [1] }]] },
};
