import type { MaySleep } from "../../kernel/coroutine.js";
import { msgBytes } from "../../kernel/msg.js";
import { shmUsage } from "../../kernel/shm.js";
import type { IpcIds, IpcPerm } from "../../kernel/ipc.js";
import { NSEC_PER_SEC, REALTIME_AT_BOOT_S } from "../../kernel/time.js";
import type { Kernel } from "../../kernel.js";

const right = (value: number, width: number): string => String(value).padStart(width);

function time(ns: number): string {
  return right(ns === 0 ? 0 : REALTIME_AT_BOOT_S + Math.floor(ns / NSEC_PER_SEC), 10);
}

const owners = ({ uid, gid, cuid, cgid }: IpcPerm): string => [uid, gid, cuid, cgid].map((id) => right(id, 5)).join(" ");

function* lines<T extends IpcPerm>(ids: IpcIds<T>, header: string, line: (object: T) => string): MaySleep<string> {
  if (!ids.lock.tryLock()) yield* ids.lock.lock();
  const text = ids.all().map((object) => `${right(object.key, 10)} ${right(object.id, 10)}  ${object.mode.toString(8).padStart(4)} ${line(object)}\n`);
  if (!ids.lock.tryUnlock()) yield* ids.lock.unlock();
  return `${header}\n${text.join("")}`;
}

/** /proc/sysvipc/shm. */
export function* showShm(k: Kernel): MaySleep<string> {
  const header =
    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap";
  return yield* lines(k.m.shm, header, (segment) => {
    const { size, cpid, lpid, nattch, atimeNs, dtimeNs, ctimeNs } = segment;
    const { rss, swap } = shmUsage(segment);
    const times = [atimeNs, dtimeNs, ctimeNs].map(time).join(" ");
    return `${right(size, 21)} ${right(cpid, 5)} ${right(lpid, 5)}  ${right(nattch, 5)} ${owners(segment)} ${times} ${right(rss * 4096, 21)} ${right(swap * 4096, 21)}`;
  });
}

/** /proc/sysvipc/sem. */
export function* showSem(k: Kernel): MaySleep<string> {
  const header = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime";
  return yield* lines(k.m.sem, header, (array) => `${right(array.semaphores.length, 10)} ${owners(array)} ${time(array.otimeNs)} ${time(array.ctimeNs)}`);
}

/** /proc/sysvipc/msg. */
export function* showMsg(k: Kernel): MaySleep<string> {
  const header = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime";
  return yield* lines(k.m.msg, header, (queue) => {
    const { messages, lspid, lrpid, stimeNs, rtimeNs, ctimeNs } = queue;
    const times = [stimeNs, rtimeNs, ctimeNs].map(time).join(" ");
    return ` ${right(msgBytes(queue), 10)} ${right(messages.length, 10)} ${right(lspid, 5)} ${right(lrpid, 5)} ${owners(queue)} ${times}`;
  });
}
