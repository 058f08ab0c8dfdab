import { ipcSeq, NSEC_PER_SEC, REALTIME_AT_BOOT_S, type IpcPerm } from "@faultline/kernel";

/** Commands that all of System V IPC has. */
export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;
export const IPC_INFO = 3;

/** struct ipc64_perm of the generic 64-bit ABI, in bytes. */
export const IPC_PERM_SIZE = 48;

export function writePerm(view: DataView, perm: Readonly<IpcPerm>): void {
  [perm.key, perm.uid, perm.gid, perm.cuid, perm.cgid, perm.mode].forEach((value, i) => view.setInt32(i * 4, value, true));
  view.setUint16(24, ipcSeq(perm.id), true);
}

/** What of it IPC_SET takes. */
export function readPerm(view: DataView): Pick<IpcPerm, "uid" | "gid" | "mode"> {
  return { uid: view.getInt32(4, true), gid: view.getInt32(8, true), mode: view.getUint32(20, true) };
}

/** Machine time as a time of day, in seconds; 0 for what never was. */
export function ipcSeconds(ns: number): number {
  return ns === 0 ? 0 : REALTIME_AT_BOOT_S + Math.floor(ns / NSEC_PER_SEC);
}
