/**
 * @linux mm/oom_kill.c
 * @omits Parts that notifiers would block are reaped, too: no invalidation is refused for that.
 * @own reapMm
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import type { Kernel } from "../kernel.js";
import { VM, type Mm } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";

/**
 * process_mrelease(2): frees the memory of a process that has been killed ahead of its threads' end.
 * -EINVAL for one that goes on, or whose memory somebody else has who does; -ESRCH where there is
 * none any more; -EAGAIN where its address space is being changed.
 */
export function* processMrelease(k: Kernel, process: Process): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  const { mm } = process;
  if (mm === null || mm.users === 0) return -Errno.ESRCH;
  for (const other of m.processes.values()) if (other.mm === mm && other.exitStatus === null) return -Errno.EINVAL;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  let result = 0;
  if (!mm.mmapLock.tryRead()) result = -Errno.EAGAIN;
  else {
    if (!(yield* k.mrelease.reapMm(k, mm))) result = -Errno.EAGAIN;
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  }
  yield* k.fork.mmput(k, mm);
  return result;
}

/**
 * Zaps what can be made or read anew: not shared memory, no huge pages, and no pages of devices. mmap_lock is held. Who reaps must
 * not wait for anybody: false when a driver would have made it, and left its range as it was.
 */
export function* reapMm(k: Kernel, mm: Mm): MaySleep<boolean> {
  let all = true;
  for (const vma of mm.vmas) {
    if ((vma.flags & (VM.SHARED | VM.PFNMAP)) !== 0 || vma.isHugetlb) continue;
    const range: NotifierRange = { mm, startVpn: vma.startVpn, endVpn: vma.endVpn, event: NotifyEvent.UNMAP, owner: null };
    const tlb = k.mmGather.tlbGather(k, mm);
    const error = yield* k.mmuNotifier.invalidateRangeStartNonblock(k, range);
    if (error === 0) {
      yield* k.zap.unmapPageRange(k, tlb, vma, vma.startVpn, vma.endVpn);
      yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    } else all = false;
    yield* k.mmGather.tlbFinish(k, tlb);
  }
  return all;
}
