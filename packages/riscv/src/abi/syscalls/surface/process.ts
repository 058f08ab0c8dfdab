import { Errno } from "@faultline/kernel";
import { AT, bits, FD, noMemory, PAGE, values, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, ESRCH, ECHILD, EFAULT } = Errno;
const NOBODY = 4_000_000;
const noProcess = (index: number): Refusal => [ESRCH, "no such process", { [index]: NOBODY }];
/** Of a fork: as fork(2) does it. */
const SIGCHLD = 17;
const CLONE = { VM: 0x100, SIGHAND: 0x800, THREAD: 0x10000, PIDFD: 0x1000, PARENT_SETTID: 0x100000, DETACHED: 0x400000, CLEAR_SIGHAND: 2 ** 32 } as const;
const resource: Refusal = [EINVAL, "no such resource", { 0: 16 }];

export const PROCESS: Surfaces = {
  personality: { example: [0xffff_ffff] },
  seccomp: { example: null, refuses: [[EINVAL, "a filter", { 0: 1 }], [EINVAL, "flags", { 1: 1 }], [EINVAL, "an argument", { 2: AT.page }]] },
  exit: { example: [0] },
  exit_group: { example: [0] },
  waitid: {
    example: [0, 0, 0, 4, 0],
    gives: ECHILD,
    takes: { 0: values([0, [1, { 1: NOBODY }], 2], EINVAL, [3]), 3: bits([4, 4 | 1, 4 | 2, 4 | 8, 4 | 0x100_0000, 4 | 0x2000_0000, 4 | 0x4000_0000, 4 | 0x8000_0000], EINVAL) },
    refuses: [[EINVAL, "nothing to wait for", { 3: 1 }], [EINVAL, "process 0", { 0: 1 }], [EINVAL, "a negative group", { 0: 2, 1: -1 }], [Errno.EBADF, "P_PIDFD, and no pidfd", { 0: 3, 1: FD.file }], [EINVAL, "P_PIDFD, and a negative descriptor", { 0: 3, 1: -1 }]],
  },
  set_tid_address: { example: [AT.page] },
  set_robust_list: { example: [AT.page, 24], refuses: [[EINVAL, "a head of another size", { 1: 16 }]] },
  get_robust_list: { example: [0, AT.page, AT.page + 8], refuses: [noProcess(0), noMemory(1), noMemory(2)] },
  setpgid: { example: [0, 0], refuses: [noProcess(0), [EINVAL, "negative group", { 1: -1 }], [Errno.EPERM, "a group that is not there", { 1: NOBODY }]] },
  getpgid: { example: [0], refuses: [noProcess(0)] },
  getsid: { example: [0], refuses: [noProcess(0)] },
  setsid: { example: [] },
  capget: { example: [[0x2008_0522], AT.page], refuses: [[EINVAL, "a version that is not known", { 0: [1] }], noMemory(0), noMemory(1)] },
  capset: { example: [[0x2008_0522], [0, 0, 0]], refuses: [[EINVAL, "a version that is not known", { 0: [1] }], [Errno.EPERM, "of another process", { 0: [0x1_2008_0522] }], noMemory(0), noMemory(1)] },
  uname: { example: [AT.page], refuses: [noMemory(0)] },
  getrlimit: { example: [3, AT.page], refuses: [resource, noMemory(1)] },
  setrlimit: { example: [4, [0, 0]], refuses: [resource, noMemory(1), [EINVAL, "more than its maximum", { 1: [2, 1] }]] },
  getrusage: { example: [0, AT.page], takes: { 0: values([-1, 0, 1], EINVAL) }, refuses: [noMemory(1)] },
  prctl: {
    example: [15, "name", 0, 0, 0],
    takes: {
      0: values(
        [
          [1, { 1: 0 }], [2, { 1: AT.page }], [4, { 1: 1 }], 13, [14, { 1: 0 }], 15, [16, { 1: AT.page }], 21, [29, { 1: 1 }],
          [33, { 1: 1, 2: 1 }], [35, { 1: 15, 2: AT.page, 3: 0, 4: 0 }], [36, { 1: 1 }], [37, { 1: AT.page }], [38, { 1: 1 }], [39, { 1: 0 }], [40, { 1: AT.page }],
          [41, { 1: 1 }], [42, { 1: 0 }], [65, { 1: 1 }], [66, { 1: 0 }], [67, { 1: 1 }], [68, { 1: 0 }],
          [0x53564d41, { 1: 0, 2: AT.page, 3: PAGE, 4: "name" }],
        ],
        EINVAL,
        [3, 7, 23, 27, 30, 34],
      ),
    },
    refuses: [
      noMemory(1),
      [EINVAL, "PR_SET_PDEATHSIG, and no signal", { 0: 1, 1: 65 }],
      [EINVAL, "PR_SET_DUMPABLE, and not 0 or 1", { 0: 4, 1: 2 }],
      [EINVAL, "PR_CAPBSET_READ, and no capability", { 0: 23, 1: 63 }],
      [EINVAL, "PR_MCE_KILL, and no policy", { 0: 33, 1: 1, 2: 3 }],
      [EINVAL, "PR_MCE_KILL_GET, and an argument", { 0: 34, 1: 1 }],
      [EINVAL, "PR_SET_MM, and nothing that it sets", { 0: 35, 1: 16, 2: AT.page, 3: 0, 4: 0 }],
      [EINVAL, "PR_SET_MM_BRK, and an address below where anything may be mapped", { 0: 35, 1: 7, 2: PAGE, 3: 0, 4: 0 }],
      [EINVAL, "PR_SET_MM_MAP, and a structure of another size", { 0: 35, 1: 14, 2: AT.page, 3: 100, 4: 0 }],
      [EFAULT, "PR_SET_MM_MAP, and no memory", { 0: 35, 1: 14, 2: 8, 3: 104, 4: 0 }],
      [Errno.EBADF, "PR_SET_MM_EXE_FILE, and no descriptor", { 0: 35, 1: 13, 2: 77, 3: 0, 4: 0 }],
      [EINVAL, "PR_SET_NO_NEW_PRIVS, and 0", { 0: 38, 1: 0 }],
      [EINVAL, "PR_SET_THP_DISABLE, and a fourth argument", { 0: 41, 1: 1, 4: 1 }],
      [EINVAL, "PR_SET_MDWE, and unknown bits", { 0: 65, 1: 4 }],
      [EINVAL, "PR_SET_MDWE, and PR_MDWE_NO_INHERIT alone", { 0: 65, 1: 2 }],
      [EINVAL, "PR_SET_MDWE, and a third argument", { 0: 65, 1: 1, 2: 1 }],
      [EINVAL, "PR_GET_MDWE, and an argument", { 0: 66, 1: 1 }],
      [EINVAL, "PR_SET_MEMORY_MERGE, and a third argument", { 0: 67, 1: 1, 2: 1 }],
      [EINVAL, "PR_SET_VMA, and another than the name", { 0: 0x53564d41, 1: 1, 2: AT.page, 3: PAGE, 4: 0 }],
      [EINVAL, "PR_SET_VMA_ANON_NAME, and an address within a page", { 0: 0x53564d41, 1: 0, 2: AT.page + 1, 3: PAGE, 4: 0 }],
      [Errno.ENOMEM, "PR_SET_VMA_ANON_NAME, and nothing mapped there", { 0: 0x53564d41, 1: 0, 2: AT.hole, 3: PAGE, 4: "name" }],
      [EINVAL, "PR_SET_VMA_ANON_NAME, and a name with brackets", { 0: 0x53564d41, 1: 0, 2: AT.page, 3: PAGE, 4: "[x]" }],
      [EINVAL, "PR_SET_VMA_ANON_NAME, and 80 characters", { 0: 0x53564d41, 1: 0, 2: AT.page, 3: PAGE, 4: "x".repeat(80) }],
    ],
  },
  getpid: { example: [] },
  getppid: { example: [] },
  gettid: { example: [] },
  sysinfo: { example: [AT.page], refuses: [noMemory(0)] },
  clone: {
    example: [SIGCHLD, 0, 0, 0, 0],
    refuses: [
      [EINVAL, "CLONE_THREAD without CLONE_SIGHAND", { 0: CLONE.THREAD | CLONE.VM }],
      [EINVAL, "CLONE_SIGHAND without CLONE_VM", { 0: CLONE.SIGHAND }],
      [EINVAL, "CLONE_PIDFD and CLONE_PARENT_SETTID", { 0: CLONE.PIDFD | CLONE.PARENT_SETTID | SIGCHLD, 2: AT.page }],
      [EINVAL, "CLONE_PIDFD and CLONE_DETACHED", { 0: CLONE.PIDFD | CLONE.DETACHED | SIGCHLD, 2: AT.page }],
    ],
  },
  riscv_hwprobe: { example: [[3, 0], 1, 0, 0, 0], refuses: [[EINVAL, "unknown flags", { 4: 2 }], noMemory(0)] },
  wait4: {
    example: [-1, 0, 0, 0],
    gives: ECHILD,
    takes: { 2: bits([0, 1, 2, 8, 0x2000_0000, 0x4000_0000, 0x8000_0000], EINVAL) },
    refuses: [[ESRCH, "the most negative process id", { 0: -(2 ** 31) }]],
  },
  prlimit64: {
    example: [0, 3, 0, AT.page],
    refuses: [[EINVAL, "no such resource", { 1: 16 }], noProcess(0), noMemory(2), noMemory(3), [EINVAL, "more than its maximum", { 2: [2, 1] }]],
  },
  getrandom: {
    example: [AT.page, 8, 0],
    takes: { 2: bits([0, 1, 2, 4], EINVAL) },
    refuses: [noMemory(0), [EINVAL, "GRND_RANDOM and GRND_INSECURE", { 2: 6 }]],
  },
  clone3: {
    example: [[0, 0, 0, 0, SIGCHLD, 0, 0, 0], 64],
    refuses: [
      [EINVAL, "a structure of less than 64 bytes", { 1: 56 }],
      [Errno.E2BIG, "a structure of more than a page", { 1: PAGE + 8 }],
      [EFAULT, "memory that is not mapped", { 0: AT.hole }],
      [EINVAL, "a stack without a size", { 0: [0, 0, 0, 0, SIGCHLD, AT.page, 0, 0] }],
      [EINVAL, "no such signal", { 0: [0, 0, 0, 0, 65, 0, 0, 0] }],
      [EINVAL, "flags in which a signal was once", { 0: [SIGCHLD, 0, 0, 0, 0, 0, 0, 0] }],
      [EINVAL, "a bit that is no flag", { 0: [2 ** 40, 0, 0, 0, SIGCHLD, 0, 0, 0] }],
      [EINVAL, "CLONE_CLEAR_SIGHAND and CLONE_SIGHAND", { 0: [CLONE.CLEAR_SIGHAND + CLONE.SIGHAND + 0x100, 0, 0, 0, SIGCHLD, 0, 0, 0] }],
      [EINVAL, "a signal of a thread", { 0: [CLONE.THREAD + CLONE.SIGHAND + 0x100, 0, 0, 0, SIGCHLD, 0, 0, 0] }],
      [EINVAL, "ids without a number of them", { 0: [0, 0, 0, 0, SIGCHLD, 0, 0, 0, AT.page, 0], 1: 80 }],
    ],
  },
};
