import { Errno } from "@faultline/kernel";
import { AT, noMemory, type Surfaces } from "./surface.js";

const { EINVAL } = Errno;

export const POSIX_TIMERS: Surfaces = {
  timer_create: {
    example: [1, 0, AT.page],
    refuses: [
      [EINVAL, "no such clock", { 0: 99 }],
      noMemory(1),
      noMemory(2),
      [EINVAL, "no such signal", { 1: [0, 65, 0, 0, 0, 0, 0, 0] }],
      [EINVAL, "no such notification", { 1: [0, 10 + 9 * 2 ** 32, 0, 0, 0, 0, 0, 0] }],
    ],
  },
  timer_gettime: { example: [7, AT.page], gives: EINVAL },
  timer_getoverrun: { example: [7], gives: EINVAL },
  timer_settime: { example: [7, 0, [0, 0, 0, 0], 0], gives: EINVAL, refuses: [[EINVAL, "no time", { 2: 0 }], noMemory(2)] },
  timer_delete: { example: [7], gives: EINVAL },
};
