import { Errno } from "@faultline/kernel";
import { AT, bits, noMemory, PAGE, values, type Change, type Refusal, type Surfaces } from "./surface.js";

const { EINVAL, EFAULT } = Errno;
/** Node 0, the only one; in arguments `mask` and behind it. */
const first = (mask: number): Change => ({ [mask]: [1], [mask + 1]: 65 });
const modes = (mode: number, mask: number) =>
  values([0, [1, first(mask)], [2, first(mask)], [3, first(mask)], 4, [5, first(mask)], [6, first(mask)]], EINVAL, [mode]);
const policies = (mode: number, mask: number): Refusal[] => [
  [EINVAL, "a default policy with nodes", first(mask)],
  [EINVAL, "a binding to no node", { [mode]: 2 }],
  [EINVAL, "two ways to read a mask", { [mode]: 2 | 0xc000, ...first(mask) }],
  [EFAULT, "a mask that is not mapped", { [mode]: 2, [mask]: AT.hole, [mask + 1]: 65 }],
  [EINVAL, "a mask of more than a page", { [mode]: 2, [mask]: AT.page, [mask + 1]: 8 * PAGE + 2 }],
];

export const NUMA: Surfaces = {
  mbind: {
    example: [AT.page, PAGE, 0, 0, 0, 0],
    takes: { 2: modes(0, 3), 5: bits([0, 1, 2, 4], EINVAL) },
    refuses: [...policies(2, 3), [EINVAL, "address within a page", { 0: AT.page + 1 }], [EFAULT, "nothing mapped there", { 0: AT.hole }]],
  },
  get_mempolicy: {
    example: [AT.page, 0, 0, 0, 0],
    takes: { 4: bits([0, [2, { 3: AT.page }], 4], EINVAL, [1]) },
    refuses: [
      noMemory(0),
      [EINVAL, "an address that is not asked for", { 3: AT.page }],
      [EINVAL, "a mask of no bits", { 1: AT.page, 2: 0 }],
      [EINVAL, "a node where there is no next one", { 4: 1 }],
      [EINVAL, "MPOL_F_MEMS_ALLOWED and others", { 3: AT.page, 4: 6 }],
      [EFAULT, "nothing mapped there", { 3: AT.hole, 4: 2 }],
    ],
  },
  move_pages: {
    example: [0, 1, [AT.page], 0, AT.page, 0],
    takes: { 5: bits([0, 2, 4], EINVAL) },
    refuses: [noMemory(2), noMemory(4), [Errno.ESRCH, "no such process", { 0: 4_000_000 }], [Errno.ENODEV, "no such node", { 3: [1] }], [EFAULT, "nodes in memory that is not mapped", { 3: AT.hole }]],
  },
  migrate_pages: {
    example: [0, 64, [1], [1]],
    refuses: [noMemory(2), noMemory(3), [Errno.ESRCH, "no such process", { 0: 4_000_000 }], [EINVAL, "to no node", { 3: [0] }]],
  },
  set_mempolicy_home_node: {
    example: [AT.page, 0, 0, 0],
    refuses: [
      [EINVAL, "address within a page", { 0: AT.page + 1 }],
      [EINVAL, "no such node", { 2: 1 }],
      [EINVAL, "flags", { 3: 1 }],
      [EINVAL, "a range that goes around", { 1: -PAGE }],
      [Errno.ENOENT, "memory without a policy", { 1: PAGE }],
    ],
  },
  set_mempolicy: { example: [0, 0, 0], takes: { 0: modes(0, 1) }, refuses: policies(0, 1) },
};
