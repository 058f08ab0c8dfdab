import { Errno } from "@faultline/kernel";
import { AT, bits, FD, noFd, noMemory, type Refusal, type Surfaces } from "./surface.js";

const { EBADF, EFAULT, EINVAL, EISDIR, EOPNOTSUPP, ESPIPE } = Errno;
const flags = (needs = {}) => bits([0, 1, 2, 4, 8].map((bit) => [bit, needs] as const), EINVAL);
const nowhere = (index: number): Refusal => [EFAULT, "a position in memory that is not mapped", { [index]: AT.hole }];
const VECTOR = [AT.page, 8];
/** preadv2 and pwritev2. */
const again = (fd: number, wrongWay: number, stream: number) => ({
  example: [fd, VECTOR, 1, 0, 0, 0],
  takes: { 5: bits([0, 1, 2, 4, 0x10, 0x20], EOPNOTSUPP, [8, 0x100]) },
  refuses: [
    noFd(0),
    [EBADF, "opened the other way only", { 0: wrongWay }],
    noMemory(1),
    [EINVAL, "negative offset", { 3: -2 }],
    [EINVAL, "more than 1024 parts", { 2: 1025 }],
    [EINVAL, "negative length", { 1: [AT.page, -1] }],
    [EINVAL, "RWF_APPEND and RWF_NOAPPEND", { 5: 0x30 }],
    [EOPNOTSUPP, "RWF_NOWAIT of a file", { 5: 8 }],
    [ESPIPE, "a pipe", { 0: stream }],
  ] as readonly Refusal[],
});

export const SPLICE: Surfaces = {
  preadv2: again(FD.file, FD.writing, FD.pipeOut),
  pwritev2: again(FD.file, FD.reading, FD.pipeIn),
  vmsplice: {
    example: [FD.pipeIn, VECTOR, 1, 0],
    takes: { 3: flags() },
    refuses: [noFd(0), [EBADF, "a file", { 0: FD.file }], [EINVAL, "more than 1024 parts", { 2: 1025 }], noMemory(1), [EFAULT, "pages that are not there", { 1: [AT.hole, 8] }]],
  },
  splice: {
    example: [FD.file, 0, FD.pipeIn, 0, 8, 0],
    takes: { 5: flags() },
    refuses: [
      noFd(0),
      noFd(2),
      nowhere(1),
      [EBADF, "opened the other way only", { 0: FD.writing }],
      [ESPIPE, "a position of a pipe", { 3: AT.page }],
      [EINVAL, "no pipe", { 2: FD.writing }],
      [EINVAL, "the same pipe", { 0: FD.pipeOut }],
      [EINVAL, "a negative position", { 1: [-1] }],
      [EINVAL, "a directory", { 0: FD.directory }],
    ],
  },
  tee: {
    example: [FD.pipeOut, FD.pipeIn, 8, 0],
    gives: EINVAL,
    refuses: [noFd(0), noFd(1), [EINVAL, "the same pipe", {}], [EINVAL, "no pipe", { 0: FD.file }], [EBADF, "the wrong end", { 0: FD.pipeIn }], [EINVAL, "unknown flags", { 3: 16 }]],
  },
  sendfile: {
    example: [FD.pipeIn, FD.file, 0, 8],
    refuses: [
      noFd(0),
      noFd(1),
      nowhere(2),
      [EBADF, "opened the other way only", { 1: FD.writing }],
      [ESPIPE, "a position of a pipe", { 0: FD.writing, 1: FD.pipeOut, 2: [0] }],
      [EINVAL, "a pipe into a file", { 0: FD.writing, 1: FD.pipeOut }],
      [EINVAL, "a negative position", { 2: [-1] }],
    ],
  },
  cachestat: {
    example: [FD.file, [0, 0], AT.page, 0],
    refuses: [noFd(0), noMemory(1), noMemory(2), [EINVAL, "flags", { 3: 1 }]],
  },
  copy_file_range: {
    example: [FD.file, [0], FD.writing, [4096], 8, 0],
    refuses: [
      noFd(0),
      noFd(2),
      nowhere(1),
      nowhere(3),
      [EINVAL, "flags", { 5: 1 }],
      [EINVAL, "a pipe", { 0: FD.pipeOut, 1: 0 }],
      [EISDIR, "a directory", { 0: FD.directory }],
      [EINVAL, "onto itself", { 3: [4] }],
      [EBADF, "opened the other way only", { 0: FD.writing }],
    ],
  },
};
