import { Errno } from "@faultline/kernel";
import { AT, noMemory, values, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, ESRCH } = Errno;
const NOBODY = 4_000_000;
const noThread: Refusal[] = [[ESRCH, "no such thread", { 0: NOBODY }], [EINVAL, "a negative id", { 0: -1 }]];
const limits = { example: [0], takes: { 0: values([0, 1, 2, 3, 5, 6], EINVAL, [7]) } };
const priorities: Refusal[] = [[ESRCH, "no such process", { 1: NOBODY }]];

export const SCHED: Surfaces = {
  sched_setparam: { example: [0, [0]], refuses: [...noThread, noMemory(1), [EINVAL, "no parameters", { 1: 0 }], [EINVAL, "a priority of nobody's", { 1: [1] }]] },
  sched_setscheduler: {
    example: [0, 0, [0]],
    takes: { 1: values([0, [1, { 2: [1] }], [2, { 2: [99] }], 3, 5], EINVAL, [7]) },
    refuses: [...noThread, noMemory(2), [EINVAL, "a priority beyond all", { 1: 1, 2: [100] }], [EINVAL, "no priority where one is due", { 1: 1 }]],
  },
  sched_getscheduler: { example: [0], refuses: noThread },
  sched_getparam: { example: [0, AT.page], refuses: [...noThread, noMemory(1), [EINVAL, "nowhere", { 1: 0 }]] },
  sched_get_priority_max: limits,
  sched_get_priority_min: limits,
  sched_rr_get_interval: { example: [0, AT.page], refuses: [...noThread, noMemory(1)] },
  setpriority: { example: [0, 0, 0], takes: { 0: values([0, 1, 2], EINVAL) }, refuses: priorities },
  getpriority: { example: [0, 0], takes: { 0: values([0, 1, 2], EINVAL) }, refuses: priorities },
};
