import { Errno } from "@faultline/kernel";
import { AT, noMemory, type Surfaces } from "./surface.js";

const { EINVAL } = Errno;
const three = { example: [AT.page, AT.page, AT.page], refuses: [noMemory(0), noMemory(1), noMemory(2)] };

export const CRED: Surfaces = {
  setregid: { example: [-1, -1] },
  setgid: { example: [0], refuses: [[EINVAL, "no id", { 0: -1 }]] },
  setreuid: { example: [-1, -1] },
  setuid: { example: [0], refuses: [[EINVAL, "no id", { 0: -1 }]] },
  setresuid: { example: [0, -1, -1] },
  getresuid: three,
  setresgid: { example: [0, -1, -1] },
  getresgid: three,
  setfsuid: { example: [0] },
  setfsgid: { example: [0] },
  getgroups: { example: [0, 0], refuses: [[EINVAL, "negative size", { 0: -1 }]] },
  setgroups: { example: [0, 0], refuses: [[EINVAL, "negative size", { 0: -1 }], [Errno.EFAULT, "memory that is not mapped", { 0: 1, 1: AT.hole }]] },
  getuid: { example: [] },
  geteuid: { example: [] },
  getgid: { example: [] },
  getegid: { example: [] },
};
