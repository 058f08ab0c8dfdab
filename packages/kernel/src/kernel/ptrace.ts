import type { Kernel } from "../kernel.js";
import { capable, Cap } from "./capability.js";
import { actingAs } from "./cred.js";
import type { Process } from "./process.js";

/** By whose ids somebody wants to look into another process: those for files, or the real ones. */
export type PtraceBy = "files" | "real";

/** Whether the current task may look into a process, as far as who they are says (ptrace(2), "Ptrace access mode checking"). */
export function ptraceMayAccess(k: Kernel, target: Process, by: PtraceBy): boolean {
  const process = k.m.current?.process ?? null;
  const cred = actingAs(k);
  if (process === null || cred === null || process === target) return true;
  if (capable(k, Cap.SYS_PTRACE)) return true;
  const [uid, gid] = by === "files" ? [cred.fsuid, cred.fsgid] : [cred.uid, cred.gid];
  const { cred: theirs, capabilities } = target;
  const same = [theirs.uid, theirs.euid, theirs.suid].every((id) => id === uid) && [theirs.gid, theirs.egid, theirs.sgid].every((id) => id === gid);
  const mine = by === "files" ? process.capabilities.effective : process.capabilities.permitted;
  return same && target.mm?.dumpable !== 0 && (capabilities.permitted & ~mine) === 0n;
}
