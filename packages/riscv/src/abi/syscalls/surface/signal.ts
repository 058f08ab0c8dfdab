import { Errno } from "@faultline/kernel";
import { AT, noMemory, values, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, EPERM, ESRCH, EAGAIN } = Errno;
const NOBODY = 4_000_000;
const size = (index: number): Refusal => [EINVAL, "a mask that is not of 8 bytes", { [index]: 16 }];
const noSignal = (index: number): Refusal => [EINVAL, "no such signal", { [index]: 65 }];

/** struct siginfo with si_code SI_QUEUE, and with SI_KERNEL. */
const INFO = [0, 0xffff_ffff, ...Array<number>(14).fill(0)];
const FROM_KERNEL = [0, 0x80, ...Array<number>(14).fill(0)];

export const SIGNAL: Surfaces = {
  kill: { example: [0, 0], refuses: [[ESRCH, "no such process", { 0: NOBODY }], noSignal(1)] },
  tkill: { example: [NOBODY, 0], gives: ESRCH, refuses: [[EINVAL, "no thread's id", { 0: 0 }]] },
  tgkill: { example: [NOBODY, NOBODY, 0], gives: ESRCH, refuses: [[EINVAL, "no process's id", { 0: 0 }], [EINVAL, "no thread's id", { 1: -1 }]] },
  sigaltstack: {
    example: [[AT.page, 0, 8192], AT.page],
    refuses: [noMemory(0), noMemory(1), [EINVAL, "unknown flags", { 0: [AT.page, 4, 8192] }], [Errno.ENOMEM, "less than a frame", { 0: [AT.page, 0, 512] }]],
  },
  rt_sigsuspend: { example: null },
  rt_sigaction: {
    example: [10, [1, 0, 0], AT.page, 8],
    refuses: [size(3), noSignal(0), [EINVAL, "SIGKILL", { 0: 9 }], noMemory(1), noMemory(2)],
  },
  rt_sigprocmask: { example: [0, [0], AT.page, 8], takes: { 0: values([0, 1, 2], EINVAL) }, refuses: [size(3), noMemory(1), noMemory(2)] },
  rt_sigpending: { example: [AT.page, 8], refuses: [size(1), noMemory(0)] },
  rt_sigtimedwait: {
    example: [[1], 0, [0, 0], 8],
    gives: EAGAIN,
    refuses: [size(3), noMemory(0), noMemory(2), [EINVAL, "a billion nanoseconds", { 2: [0, 1_000_000_000] }]],
  },
  rt_sigqueueinfo: { example: [NOBODY, 0, INFO], gives: ESRCH, refuses: [noMemory(2), [EPERM, "for another, as if from the kernel", { 2: FROM_KERNEL }]] },
  rt_sigreturn: { example: null },
  rt_tgsigqueueinfo: { example: [NOBODY, NOBODY, 0, INFO], gives: ESRCH, refuses: [noMemory(3), [EPERM, "for another, as if from the kernel", { 3: FROM_KERNEL }], [EINVAL, "no process's id", { 0: 0 }]] },
};
