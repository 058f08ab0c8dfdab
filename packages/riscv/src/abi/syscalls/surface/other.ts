import { Errno } from "@faultline/kernel";
import { bits, FD, noMemory, type Surfaces } from "./surface.js";

const { EINVAL, ENOENT, ESRCH } = Errno;
const NOBODY = 4_000_000;
/** struct perf_event_attr's first word: the size of its first version above the type. */
const PERF_ATTR_VER0 = 64 * 2 ** 32;

export const OTHER: Surfaces = {
  unshare: { example: [0], takes: { 0: bits([0, 0x100, 0x200, 0x400, 0x800, 0x10000, 0x20000, 0x40000], EINVAL) } },
  ptrace: { example: [16, NOBODY, 0, 0], gives: ESRCH },
  // Type 0, of which there is none; in its first version.
  perf_event_open: {
    example: [[PERF_ATTR_VER0, 0, 0, 0, 0, 0, 0, 0], 0, -1, -1, 0],
    gives: ENOENT,
    takes: { 4: bits([0, 1, 2, 8], EINVAL, [4]) },
    refuses: [
      noMemory(0),
      [Errno.E2BIG, "a size that is not known", { 0: [8 * 2 ** 32, 0, 0, 0, 0, 0, 0, 0] }],
      [EINVAL, "flags that are not known", { 0: [PERF_ATTR_VER0, 0, 0, 0, 0, 2 ** 45, 0, 0] }],
      [ESRCH, "no such thread", { 1: NOBODY }],
      [EINVAL, "no such CPU", { 2: 4096 }],
      [EINVAL, "everybody, on every CPU", { 1: -1 }],
      [Errno.EBADF, "a group that is no event", { 3: FD.file }],
      [EINVAL, "a cgroup, on every CPU", { 4: 4 }],
    ],
  },
};
