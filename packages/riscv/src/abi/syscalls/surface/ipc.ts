import { Errno } from "@faultline/kernel";
import { AT, noMemory, values, type Refusal, type Surfaces } from "./surface.js";

const { E2BIG, EFAULT, EINVAL, ENOENT, ERANGE } = Errno;
const NO_SET = 0x70_0000;
const noSet: Refusal = [EINVAL, "no such set", { 0: NO_SET }];
/** semop(2) with a set that there is needs one that was made. */
const semop: readonly Refusal[] = [
  [EINVAL, "no operations", { 2: 0 }],
  [E2BIG, "501 operations", { 2: 501 }],
  [EINVAL, "a negative id", { 0: -1 }],
  noMemory(1),
];

export const IPC: Surfaces = {
  msgget: { example: [0, 0o1600], refuses: [[ENOENT, "no queue with the key", { 0: 0x77, 1: 0 }]] },
  msgctl: {
    example: [0, 12, AT.page],
    takes: { 1: values([3, 12], EINVAL, [0, 1, 2, 11, 13]) },
    refuses: [noMemory(2), [EINVAL, "a negative id", { 0: -1 }], [EINVAL, "no such queue", { 0: NO_SET, 1: 2 }], [EINVAL, "no queue of the number", { 0: 30_000, 1: 11 }], [EFAULT, "IPC_SET from nowhere", { 1: 1, 2: AT.hole }]],
  },
  msgsnd: {
    example: [NO_SET, [1, 0], 8, 0],
    gives: EINVAL,
    refuses: [noMemory(1), [EINVAL, "a negative id", { 0: -1 }], [EINVAL, "no type", { 1: [0, 0] }], [EINVAL, "more than MSGMAX", { 2: 8193 }]],
  },
  msgrcv: {
    example: [NO_SET, AT.page, 8, 0, 0],
    gives: EINVAL,
    refuses: [[EINVAL, "a negative id", { 0: -1 }], [EINVAL, "a negative length", { 2: -1 }], [EINVAL, "MSG_COPY that could wait", { 4: 0o40000 }]],
  },
  semget: {
    example: [0, 4, 0o1600],
    refuses: [[EINVAL, "a set of none", { 1: 0 }], [EINVAL, "more than SEMMSL", { 1: 32_001 }], [EINVAL, "a negative number", { 1: -1 }], [ENOENT, "no set with the key", { 0: 0x77, 2: 0 }]],
  },
  semctl: {
    example: [0, 0, 19, AT.page],
    takes: { 2: values([3, 19], EINVAL, [0, 1, 2, 11, 12, 13, 14, 15, 16, 17, 18, 20]) },
    refuses: [
      noMemory(3),
      [EINVAL, "a negative id", { 0: -1 }],
      [EINVAL, "no such set", { 0: NO_SET, 2: 12 }],
      [EINVAL, "no set of the number", { 0: 30_000, 2: 18 }],
      [ERANGE, "SETVAL to more than SEMVMX", { 0: NO_SET, 2: 16, 3: 32_768 }],
      [EFAULT, "IPC_SET from nowhere", { 2: 1, 3: AT.hole }],
    ],
  },
  semop: { example: [NO_SET, AT.page, 1], gives: EINVAL, refuses: semop },
  semtimedop: {
    example: [NO_SET, AT.page, 1, 0],
    gives: EINVAL,
    refuses: [...semop, noSet, noMemory(3), [EINVAL, "a billion nanoseconds", { 3: [0, 1_000_000_000] }]],
  },
};
