import { Errno } from "@faultline/kernel";
import { AT, bits, noMemory, type Surfaces } from "./surface.js";

const { EINVAL, ENOENT, ESRCH } = Errno;
const NOBODY = 4_000_000;

export const OTHER: Surfaces = {
  unshare: { example: [0], takes: { 0: bits([0, 0x100, 0x200, 0x400, 0x800, 0x10000, 0x20000, 0x40000], EINVAL) } },
  ptrace: { example: [16, NOBODY, 0, 0], gives: ESRCH },
  perf_event_open: { example: [AT.page, 0, -1, -1, 0], gives: ENOENT, refuses: [noMemory(0)] },
};
