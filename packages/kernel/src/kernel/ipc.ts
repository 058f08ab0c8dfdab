/**
 * @linux ipc/util.c
 * @omits Namespaces.
 * @own ipcExisting, ipcOwned, ipcOwner, ipcPermitted, ipcSeq, ipcStat
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { capable, Cap } from "./capability.js";
import { SWITCH, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Mutex } from "./locks.js";
import { Op } from "./op.js";

/** Flags that all of System V IPC has. */
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;
export const IPC_PRIVATE = 0;

/** Most ids of one kind. */
export const IPCMNI = 32_768;
/** Ids are this far apart for each time that numbers begin anew. */
const IPC_SEQ_SHIFT = 15;
/** Numbers are given out in a circle of so many at least. */
const IPC_MIN_CYCLE = 64;

/** Whose an object is, and who may use it. */
export interface IpcPerm {
  readonly id: number;
  key: number;
  /** The permission bits, and what the kind of object has besides. */
  mode: number;
  uid: number;
  gid: number;
  readonly cuid: number;
  readonly cgid: number;
}

/** The objects of one kind of System V IPC. `lock` guards them. */
export class IpcIds<T extends IpcPerm> {
  readonly lock: Mutex;
  /** By their number, which is the lower part of their id. */
  readonly objects = new Map<number, T>();
  private last = -1;
  private seq = 0;

  constructor(m: Machine, cls: string) {
    this.lock = new Mutex(m.locks, cls);
  }

  byId(id: number): T | undefined {
    const object = this.byNumber(numberOf(id));
    return object?.id === id ? object : undefined;
  }

  byNumber(number: number): T | undefined {
    return this.objects.get(number);
  }

  byKey(key: number): T | undefined {
    for (const object of this.objects.values()) if (object.key === key) return object;
    return undefined;
  }

  /** In the order of their numbers. */
  all(): T[] {
    return [...this.objects].sort(([a], [b]) => a - b).map(([, object]) => object);
  }

  /** The largest number in use; 0 for none. */
  get highest(): number {
    return Math.max(0, ...this.objects.keys());
  }

  /** An id for a new object, of a number that is free. */
  allocateId(): number {
    const cycle = Math.max(Math.floor((this.objects.size * 3) / 2), IPC_MIN_CYCLE);
    let number = this.last + 1 >= cycle ? 0 : this.last + 1;
    while (this.objects.has(number)) number = number + 1 >= cycle ? 0 : number + 1;
    if (number <= this.last) this.seq++;
    this.last = number;
    return (this.seq << IPC_SEQ_SHIFT) + number;
  }

  add(object: T): void {
    this.objects.set(numberOf(object.id), object);
  }

  remove(object: T): void {
    this.objects.delete(numberOf(object.id));
  }
}

function numberOf(id: number): number {
  return id & ((1 << IPC_SEQ_SHIFT) - 1);
}

/** Of an id, how often numbers had begun anew. */
export function ipcSeq(id: number): number {
  return id >>> IPC_SEQ_SHIFT;
}

/** Whose what the current task makes is. */
export function ipcOwner({ m }: Kernel): Pick<IpcPerm, "uid" | "gid" | "cuid" | "cgid"> {
  const { euid, egid } = m.current!.process!.cred;
  return { uid: euid, gid: egid, cuid: euid, cgid: egid };
}

/** Whether the current task may use an object as `wanted` asks, permission bits of which any third counts: 0 or -EACCES. */
export function ipcPermitted(k: Kernel, object: IpcPerm, wanted: number): number {
  const { euid, egid, groups } = k.m.current!.process!.cred;
  const asked = (wanted | (wanted >> 3) | (wanted >> 6)) & 7;
  const inGroup = [object.gid, object.cgid].some((gid) => gid === egid || groups.includes(gid));
  let granted = object.mode;
  if (euid === object.uid || euid === object.cuid) granted >>= 6;
  else if (inGroup) granted >>= 3;
  return (asked & ~granted) !== 0 && !capable(k, Cap.IPC_OWNER) ? -Errno.EACCES : 0;
}

/** Whether an object is the current task's, or it may do as if with `cap`: 0 or -EPERM. */
export function ipcOwned(k: Kernel, object: IpcPerm, cap: Cap): number {
  const { euid } = k.m.current!.process!.cred;
  return euid === object.uid || euid === object.cuid || capable(k, cap) ? 0 : -Errno.EPERM;
}

/** Which object IPC_STAT and its kin ask about: that of an id, or of a number for the whole list, where `anybody` may ask for it. */
export type IpcWhich = { readonly id: number } | { readonly number: number; readonly anybody: boolean };

/** An object as it is just now: -EINVAL, -EACCES. */
export function* ipcStat<T extends IpcPerm>(k: Kernel, ids: IpcIds<T>, which: IpcWhich): MaySleep<Readonly<T> | number> {
  if (k.m.point(Op.GuardedRead, ids.lock.id)) yield SWITCH;
  const object = "id" in which ? ids.byId(which.id) : ids.byNumber(which.number);
  if (object === undefined) return -Errno.EINVAL;
  const refused = "anybody" in which && which.anybody ? 0 : ipcPermitted(k, object, 0o444);
  return refused < 0 ? refused : object;
}

/** What xxxget(2) says of an object that has the key already. */
export function ipcExisting(k: Kernel, object: IpcPerm, flags: number): number {
  return (flags & (IPC_CREAT | IPC_EXCL)) === (IPC_CREAT | IPC_EXCL) ? -Errno.EEXIST : ipcPermitted(k, object, flags);
}
