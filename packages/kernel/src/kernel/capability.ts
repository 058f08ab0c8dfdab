import type { Kernel } from "../kernel.js";

/** CAP_*: the numbers of the ABI, those that are asked for here. */
export enum Cap {
  CHOWN = 0,
  DAC_OVERRIDE = 1,
  DAC_READ_SEARCH = 2,
  FOWNER = 3,
  FSETID = 4,
  KILL = 5,
  SETGID = 6,
  SETUID = 7,
  IPC_LOCK = 14,
  IPC_OWNER = 15,
  SYS_RAWIO = 17,
  SYS_PTRACE = 19,
  SYS_ADMIN = 21,
  SYS_NICE = 23,
  SYS_RESOURCE = 24,
  WAKE_ALARM = 35,
  PERFMON = 38,
  CHECKPOINT_RESTORE = 40,
}

/** CAP_LAST_CAP. */
export const CAP_LAST = 40;
/** All of them, as init has them. */
export const CAP_FULL_SET = (1n << BigInt(CAP_LAST + 1)) - 1n;

/** The sets of a process, each a bit for each capability; replaced, never changed. */
export interface Capabilities {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

/** Those that go with the id for files (setfsuid(2)): CAP_CHOWN to CAP_FSETID, CAP_LINUX_IMMUTABLE, CAP_MKNOD, CAP_MAC_OVERRIDE. */
export const CAP_FS_SET = [0, 1, 2, 3, 4, 9, 27, 32].reduce((set, cap) => set | (1n << BigInt(cap)), 0n);

/** What a process of root's begins with. */
export const FULL_CAPABILITIES: Capabilities = { effective: CAP_FULL_SET, permitted: CAP_FULL_SET, inheritable: 0n };

/** Whether the current task's process may do what a capability stands for. Kernel threads and scenarios may do everything. */
export function capable(k: Kernel, cap: Cap): boolean {
  const task = k.m.current;
  if (task == null || task.process === null) return true;
  const { capabilities } = task.thread.actingAs ?? task.process;
  return (capabilities.effective & (1n << BigInt(cap))) !== 0n;
}
