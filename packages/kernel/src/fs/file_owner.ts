import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import type { OpenFile } from "./vfs.js";

/** What the id of an owner is of, as F_SETOWN_EX says it. */
export enum OwnerType {
  TID,
  PID,
  PGRP,
}

/** Who is told of what can be done with a file, and by which signal; 0 for nobody, and for SIGIO. */
export interface FileOwner {
  readonly type: OwnerType;
  readonly id: number;
  /** Who has set it. */
  readonly uid: number;
  readonly euid: number;
}

function exists({ m }: Kernel, type: OwnerType, id: number): boolean {
  if (type === OwnerType.PGRP) return [...m.processes.values()].some(({ pgid }) => pgid === id);
  return type === OwnerType.TID ? m.tasks.has(id) : m.processes.has(id);
}

/** F_SETOWN_EX: 0, or -ESRCH where there is nobody of the id. */
export function setFileOwner(k: Kernel, file: OpenFile, type: OwnerType, id: number): number {
  if (id !== 0 && !exists(k, type, id)) return -Errno.ESRCH;
  const { uid, euid } = k.m.current!.process!.cred;
  file.owner = { type, id, uid, euid };
  return 0;
}

/** The owner, as far as he is still there. */
export function fileOwner(k: Kernel, file: OpenFile): FileOwner {
  const owner = file.owner ?? { type: OwnerType.TID, id: 0, uid: 0, euid: 0 };
  return exists(k, owner.type, owner.id) ? owner : { ...owner, id: 0 };
}
