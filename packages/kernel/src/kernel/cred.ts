import { S_ISGID, S_ISUID, type Inode } from "../fs/vfs.js";
import type { Kernel } from "../kernel.js";
import { CAP_FS_SET, CAP_FULL_SET, type Capabilities } from "./capability.js";
import type { Process } from "./process.js";

/** Who a process is: replaced, never changed. */
export interface Credentials {
  readonly uid: number;
  readonly euid: number;
  readonly suid: number;
  readonly fsuid: number;
  readonly gid: number;
  readonly egid: number;
  readonly sgid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
}

export const ROOT_CREDENTIALS: Credentials = { uid: 0, euid: 0, suid: 0, fsuid: 0, gid: 0, egid: 0, sgid: 0, fsgid: 0, groups: [] };

const isRoot = ({ uid, euid, suid }: Credentials): boolean => uid === 0 || euid === 0 || suid === 0;

/** Makes a process somebody else, who can do less where he is not root any more (capabilities(7)). */
export function commitCreds(process: Process, next: Credentials): void {
  const { cred, capabilities } = process;
  let { permitted, effective } = capabilities;
  if (isRoot(cred) && !isRoot(next)) permitted = effective = 0n;
  else if (cred.euid === 0 && next.euid !== 0) effective = 0n;
  else if (cred.euid !== 0 && next.euid === 0) effective = permitted;
  process.capabilities = { ...capabilities, permitted, effective };
  process.cred = next;
  const same = cred.euid === next.euid && cred.egid === next.egid && cred.fsuid === next.fsuid && cred.fsgid === next.fsgid;
  if (!same && process.mm !== null) process.mm.dumpable = 0;
}

/** Whose files the current task's are, and what it may do with others'; null for kernel threads and scenarios, which may do everything. */
export function actingAs(k: Kernel): Credentials | null {
  const task = k.m.current;
  return task == null || task.process === null ? null : (task.thread.actingAs ?? task.process).cred;
}

/** setfsuid(2): capabilities that are about files come and go with root's id for them. */
export function commitFsuid(process: Process, fsuid: number): void {
  const { cred, capabilities } = process;
  const { permitted } = capabilities;
  let { effective } = capabilities;
  if (cred.fsuid === 0 && fsuid !== 0) effective &= ~CAP_FS_SET;
  else if (cred.fsuid !== 0 && fsuid === 0) effective |= permitted & CAP_FS_SET;
  commitCreds(process, { ...cred, fsuid });
  process.capabilities = { ...capabilities, effective };
}

/** Who a program runs as: its file's owner, and its group, where the file says so, and neither mount nor process minds. */
export function credentialsAtExec({ cred, noNewPrivs }: Process, inode: Inode, nosuid: boolean): Credentials {
  const changes = !nosuid && !noNewPrivs;
  const euid = changes && (inode.mode & S_ISUID) !== 0 ? (inode.uid ?? 0) : cred.euid;
  const asGroup = S_ISGID | 0o010;
  const egid = changes && (inode.mode & asGroup) === asGroup ? (inode.gid ?? 0) : cred.egid;
  return { ...cred, euid, suid: euid, fsuid: euid, egid, sgid: egid, fsgid: egid };
}

/** What a program can do that is executed by somebody: all for root, who may have given something up, and nothing for others. */
export function capabilitiesAtExec({ cred, capabilities }: Process): Capabilities {
  const permitted = cred.uid === 0 || cred.euid === 0 ? CAP_FULL_SET : 0n;
  return { ...capabilities, permitted, effective: cred.euid === 0 ? permitted : 0n };
}

/** Whether a process may send signals to another. */
export function maySignal(sender: Process, target: Process): boolean {
  const CAP_KILL = 1n << 5n;
  if ((sender.capabilities.effective & CAP_KILL) !== 0n || sender === target) return true;
  const { uid, euid } = sender.cred;
  return [uid, euid].some((id) => id === target.cred.suid || id === target.cred.uid);
}
