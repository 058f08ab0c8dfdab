/**
 * @linux mm/userfaultfd.c
 * @omits A context's queues change in one step each, where Linux takes the locks of their wait queues.
 * @own beginChange, canUserfault, cancelChange, clearVma, ctxPut, eventWaitCompletion, finishEvent, mustWait,
 *   readMsg, register, registerRange, release, releaseAll, releaseNew, setVma, unregister, unregisterRange,
 *   validateSource
 */
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { TaskState, type Task } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { PTE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "../mm/fault_flags.js";
import type { Vmf } from "../mm/memory.js";
import { VM, VM_ACCESS, VM_UFFD, VM_UFFD_PROTECTS, type Mm, type Vma } from "../mm/mm_types.js";
import { hstateOf } from "../mm/hugetlb_reserve.js";
import { PteMarker } from "../mm/pte_marker.js";
import { isUffdRwp } from "../mm/uffd_rwp.js";
import { UffdWp } from "../mm/uffd_wp.js";
import { UffdEvent, UffdFeature, UffdPagefault, UFFD_USER_MODE_ONLY, UserfaultfdCtx, type EventWait, type Userfault, type UffdMsg } from "./userfaultfd_ctx.js";

/** Where a fault is, as far as userfaultfd wants to know. */
export type FaultAt = Pick<Vmf, "vma" | "vpn" | "addr" | "flags">;

export function* ctxPut(k: Kernel, ctx: UserfaultfdCtx): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  if (--ctx.references > 0) return;
  m.userfaultfds.splice(m.userfaultfds.indexOf(ctx), 1);
}

/* Faults. */

/**
 * Tells the userfaultfd of a VMA of a fault, and waits until somebody wakes the address. The fault's
 * lock is dropped: RETRY. SIGBUS, with the lock still held, where nobody can be told, or wants to be.
 * `reason`: VM.UFFD_MISSING, UFFD_WP, UFFD_RWP or UFFD_MINOR.
 */
export function* handleUserfault(k: Kernel, at: FaultAt, reason: VM): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  const ctx = at.vma.uffd;
  if (ctx === null || task.exiting || ctx.has(UffdFeature.SIGBUS)) return VmFault.SIGBUS;
  if ((at.flags & FaultFlag.USER) === 0 && (ctx.flags & UFFD_USER_MODE_ONLY) !== 0) return VmFault.SIGBUS;
  // Who cannot drop its lock cannot wait: hmm_range_fault(), make_device_exclusive().
  if ((at.flags & FaultFlag.ALLOW_RETRY) === 0) return VmFault.SIGBUS;
  if ((at.flags & FaultFlag.RETRY_NOWAIT) !== 0) return VmFault.RETRY;
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  if (ctx.released) {
    const { vma } = at;
    yield* k.memory.releaseFaultLock(k, at);
    // Until who has closed it comes to this VMA.
    if (m.retries.again("handle_userfault", () => vma.uffd !== ctx || vma.detached)) yield SWITCH;
    return VmFault.RETRY;
  }
  const state = blockingState(at.flags);
  const fault: Userfault = { task, msg: faultMessage(ctx, task, at, reason) };
  ctx.references++;
  // From here on who wakes the address finds the task; so what was filled in before is seen now.
  ctx.pending.push(fault);
  task.state = state;
  task.waitingFor = "userfaultfd";
  task.waitingOn = ctx.id;
  const mustWait = yield* k.userfaultfd.mustWait(k, at, reason);
  yield* k.memory.releaseFaultLock(k, at);
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  if (mustWait && !ctx.released) {
    wakeReaders(k, ctx);
    if (isSleeping(task) && !m.signalWakes(task, state)) yield BLOCK;
  }
  task.state = TaskState.Running;
  task.waitingFor = "";
  task.waitingOn = -1;
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  // A signal has ended the wait, or there was nothing to wait for.
  remove(ctx.pending, fault);
  remove(ctx.faults, fault);
  yield* k.userfaultfd.ctxPut(k, ctx);
  return VmFault.RETRY;
}

/** Somebody may have woken it since it was put into the queue. */
function isSleeping(task: Task): boolean {
  return task.state !== TaskState.Running;
}

function remove<T>(list: T[], item: T): void {
  const i = list.indexOf(item);
  if (i >= 0) list.splice(i, 1);
}

/**
 * Any signal takes a program's own access back to where the signal is handled. One that the kernel
 * makes goes on until it is done, so that it would only come here again.
 */
function blockingState(flags: number): TaskState {
  if ((flags & FaultFlag.INTERRUPTIBLE) !== 0) return TaskState.Interruptible;
  return (flags & FaultFlag.KILLABLE) !== 0 ? TaskState.Killable : TaskState.Uninterruptible;
}

function faultMessage(ctx: UserfaultfdCtx, task: Task, at: FaultAt, reason: VM): Userfault["msg"] {
  let flags = (at.flags & FaultFlag.WRITE) !== 0 ? UffdPagefault.WRITE : 0;
  if (reason === VM.UFFD_WP) flags |= UffdPagefault.WP;
  if (reason === VM.UFFD_MINOR) flags |= UffdPagefault.MINOR;
  if (reason === VM.UFFD_RWP) flags |= UffdPagefault.RWP;
  return {
    event: UffdEvent.PAGEFAULT,
    flags,
    address: ctx.has(UffdFeature.EXACT_ADDRESS) ? at.addr : at.vpn * 4096,
    ptid: ctx.has(UffdFeature.THREAD_ID) ? task.id : 0,
  };
}

/** Whether what the fault was about is still so, looked at without a lock: the fault's own keeps the tables. */
export function* mustWait(k: Kernel, { vma, vpn }: FaultAt, reason: VM): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const entry = m.pt.find(vma.mm.pgd, vpn);
  if (entry < 0) return true;
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const flags = m.pt.flags(entry);
  if (flags === 0) return true;
  if (ptePresent(flags)) return reason === VM.UFFD_RWP ? isUffdRwp(vma, flags) : reason === VM.UFFD_WP && (flags & PTE.W) === 0;
  return (k.pteMarker.pteMarker(flags, m.pt.pfn(entry)) & (PteMarker.UFFD_WP | PteMarker.POISONED)) !== 0;
}

/** Wakes who waits for an address in [start, start + len), in bytes; with len 0, everybody. */
export function* wakeUserfault(k: Kernel, ctx: UserfaultfdCtx, start: number, len: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  for (const list of [ctx.pending, ctx.faults]) {
    for (let i = 0; i < list.length; ) {
      const { task, msg } = list[i]!;
      if (len !== 0 && (msg.address < start || msg.address >= start + len)) i++;
      else {
        list.splice(i, 1);
        m.sched.wake(task);
      }
    }
  }
}

function wakeReaders(k: Kernel, ctx: UserfaultfdCtx): void {
  ctx.readers.wakeAll();
  k.m.pollWait.wakeAll();
}

/* Events. */

/** Tells of an event, and waits until it has been read, the file is closed, or the task is killed. The caller has counted it in mmapChanging, with a reference. */
export function* eventWaitCompletion(k: Kernel, ctx: UserfaultfdCtx, msg: UffdMsg): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const wait: EventWait = { task, msg, taken: false, done: false };
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  ctx.events.push(wait);
  while (!wait.done && !ctx.released && !m.signals.fatalPending(task)) {
    wakeReaders(k, ctx);
    task.state = TaskState.Killable;
    task.waitingFor = "userfaultfd event";
    task.waitingOn = ctx.id;
    yield BLOCK;
    task.state = TaskState.Running;
    task.waitingFor = "";
    task.waitingOn = -1;
    if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  }
  remove(ctx.events, wait);
  // Nobody will ever have the descriptor for it.
  if (!wait.done && msg.event === UffdEvent.FORK) yield* k.userfaultfd.releaseNew(k, msg.child);
  if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
  ctx.mmapChanging--;
  yield* k.userfaultfd.ctxPut(k, ctx);
}

/** An event is about to come: from here on nothing is filled in before it has been read. */
export function* beginChange(k: Kernel, ctx: UserfaultfdCtx): MaySleep<void> {
  const { mapChangingLock } = ctx;
  if (!mapChangingLock.tryWrite()) yield* mapChangingLock.write();
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  ctx.references++;
  ctx.mmapChanging++;
  if (!mapChangingLock.tryUnlock()) yield* mapChangingLock.unlock();
}

/** It does not come after all. */
export function* cancelChange(k: Kernel, ctx: UserfaultfdCtx): Atomic<void> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  ctx.mmapChanging--;
  yield* k.userfaultfd.ctxPut(k, ctx);
}

/* The file. */

/**
 * The oldest message: faults before events. With `wait` sleeps for one. -EAGAIN where there is none, or
 * -ERESTARTSYS. An event that the caller must finish by `finishEvent`, else a fault's message. A fork's context
 * comes with a reference for the caller.
 */
export function* readMsg(k: Kernel, ctx: UserfaultfdCtx, wait: boolean): MaySleep<EventWait | UffdMsg | number> {
  const { m } = k;
  for (;;) {
    if (m.point(Op.Userfault, ctx.id)) yield SWITCH;
    const fault = ctx.pending.shift();
    if (fault !== undefined) {
      ctx.faults.push(fault);
      return fault.msg;
    }
    const event = ctx.events.find(({ taken }) => !taken);
    if (event !== undefined) {
      event.taken = true;
      if (event.msg.event === UffdEvent.FORK) {
        m.touches(Op.Userfault, event.msg.child.id);
        event.msg.child.references++;
      }
      return event;
    }
    if (!wait) return -Errno.EAGAIN;
    if (!(yield* ctx.readers.sleep(TaskState.Interruptible, "userfaultfd_read", ctx.id))) return -Restart.ERESTARTSYS;
  }
}

/** The event has been read, and who waits goes on; or it could not be, and is for the next reader. */
export function* finishEvent(k: Kernel, ctx: UserfaultfdCtx, event: EventWait, read: boolean): Atomic<void> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  event.taken = event.done = read;
  if (!read) return;
  k.m.sched.wake(event.task);
  // A task that has given up meanwhile has let go of its reference to the child's context: the reader's is left.
  if (event.msg.event === UffdEvent.FORK && ctx.events.includes(event)) yield* k.userfaultfd.ctxPut(k, event.msg.child);
}

/** The last descriptor is closed: VMAs forget the context, and all that wait go on. */
export function* release(k: Kernel, ctx: UserfaultfdCtx): MaySleep<void> {
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  // Before mmap_lock is taken: a fault that has met the context must not sleep any more.
  ctx.released = true;
  yield* k.userfaultfd.releaseAll(k, ctx);
  yield* k.userfaultfd.wakeUserfault(k, ctx, 0, 0);
  for (const { task } of ctx.events) k.m.sched.wake(task);
  wakeReaders(k, ctx);
  yield* k.userfaultfd.ctxPut(k, ctx);
}

/** A context that no descriptor has ever belonged to. */
export function* releaseNew(k: Kernel, ctx: UserfaultfdCtx): MaySleep<void> {
  yield* k.userfaultfd.releaseAll(k, ctx);
  yield* k.userfaultfd.ctxPut(k, ctx);
}

/** Takes the context out of every VMA that has it. */
export function* releaseAll(k: Kernel, ctx: UserfaultfdCtx): MaySleep<void> {
  const { mm } = ctx;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  for (let i = 0; i < mm.vmas.length; i++) {
    const vma = mm.vmas[i]!;
    if (vma.uffd !== ctx) continue;
    const merged = yield* k.userfaultfd.clearVma(k, vma, vma.startVpn, vma.endVpn);
    // All of it: nothing had to be cut.
    if (typeof merged !== "number") i = mm.vmas.indexOf(merged);
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.fork.mmput(k, mm);
}

/* Registration. */

/** Checks a range of bytes: -EINVAL, or 0. */
export function validateRange(k: Kernel, start: number, len: number): number {
  if (start % 4096 !== 0 || start < k.m.vmSysctl.mmapMinAddr) return -Errno.EINVAL;
  return k.userfaultfd.validateSource(k, start, len);
}

/** The same where it may begin within a page, and where nothing can be mapped. */
export function validateSource(_k: Kernel, start: number, len: number): number {
  return len % 4096 !== 0 || len <= 0 || start < 0 || start + len > USER_VPN_END * 4096 ? -Errno.EINVAL : 0;
}

/** Whether memory of this kind can be registered with these VM_UFFD flags. */
export function canUserfault(_k: Kernel, vma: Vma, flags: number, wpAsync: boolean): boolean {
  const shmem = vma.ops?.isShmem === true;
  if ((vma.flags & VM.DROPPABLE) !== 0) return false;
  if ((flags & VM.UFFD_MINOR) !== 0 && !shmem && !vma.isHugetlb) return false;
  if (wpAsync && (flags & VM_UFFD) === VM.UFFD_WP) return true;
  return vma.ops === null || shmem || vma.isHugetlb;
}

/** VMAs of a range of pages, those in part among them; as they are now. */
function vmasIn(mm: Mm, start: number, end: number): Vma[] {
  const from = mm.findVmaIndex(start);
  if (from < 0) return [];
  let to = from;
  while (to < mm.vmas.length && mm.vmas[to]!.startVpn < end) to++;
  return mm.vmas.slice(from, to);
}

/** Whether it is huge pages that a page lies among, and it is not the first of one. */
function withinHugePage(vma: Vma, vpn: number): boolean {
  return vma.isHugetlb && vpn % hstateOf(vma).pages !== 0;
}

/** UFFDIO_REGISTER of a valid range of bytes; `flags` of VM_UFFD. 1 where there are huge pages among it, which can less; 0, or a negated errno. */
export function* register(k: Kernel, ctx: UserfaultfdCtx, start: number, len: number, flags: number): MaySleep<number> {
  const { mm } = ctx;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ENOMEM;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.userfaultfd.registerRange(k, ctx, start / 4096, (start + len) / 4096, flags);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.fork.mmput(k, mm);
  return result;
}

export function* registerRange(k: Kernel, ctx: UserfaultfdCtx, start: number, end: number, flags: number): MaySleep<number> {
  const { mm } = ctx;
  const vmas = vmasIn(mm, start, end);
  if (vmas.length === 0 || withinHugePage(vmas[0]!, start)) return -Errno.EINVAL;
  for (const vma of vmas) {
    if (!k.userfaultfd.canUserfault(k, vma, flags, ctx.has(UffdFeature.WP_ASYNC))) return -Errno.EINVAL;
    // What nobody may access is no different when it is let through.
    if ((flags & VM.UFFD_RWP) !== 0 && (vma.flags & VM_ACCESS) === 0) return -Errno.EINVAL;
    // What is filled in is written, whatever the VMA's permission is now.
    if ((vma.flags & VM.MAYWRITE) === 0) return -Errno.EPERM;
    if (end <= vma.endVpn && withinHugePage(vma, end)) return -Errno.EINVAL;
    if (vma.uffd !== null && vma.uffd !== ctx) return -Errno.EBUSY;
    // Since 7.3: marks would be left of which nobody knows what they protect from.
    if ((vma.flags & VM_UFFD_PROTECTS & ~flags) !== 0) return -Errno.EBUSY;
  }
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmas[mm.findVmaIndex(vpn)];
    if (vma === undefined || vma.startVpn >= end) break;
    const to = Math.min(end, vma.endVpn);
    if (vma.uffd !== ctx || (vma.flags & flags) !== flags) {
      const part = yield* k.userfaultfd.setVma(k, vma, Math.max(vpn, vma.startVpn), to, ctx, flags);
      if (typeof part === "number") return part;
    }
    vpn = to;
  }
  return vmas.some((vma) => vma.isHugetlb) ? 1 : 0;
}

/** Gives a part of a VMA a context and VM_UFFD flags: what covers the part then, or a negated errno where it cannot be cut. */
export function* setVma(k: Kernel, vma: Vma, start: number, end: number, uffd: UserfaultfdCtx | null, flags: number): MaySleep<Vma | number> {
  return yield* k.vma.modifyVma(k, vma.mm, vma, start, end, { flags: (vma.flags & ~VM_UFFD) | flags, uffd });
}

/** A part of a VMA belongs to nobody any more, and has no protection of userfaultfd's; as `setVma`. */
export function* clearVma(k: Kernel, vma: Vma, start: number, end: number): MaySleep<Vma | number> {
  if ((vma.flags & VM_UFFD_PROTECTS) !== 0) yield* k.mprotect.changePteRange(k, vma, start, end, UffdWp.Resolve);
  return yield* k.userfaultfd.setVma(k, vma, start, end, null, 0);
}

/** UFFDIO_UNREGISTER of a valid range of bytes. */
export function* unregister(k: Kernel, ctx: UserfaultfdCtx, start: number, len: number): MaySleep<number> {
  const { mm } = ctx;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ENOMEM;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.userfaultfd.unregisterRange(k, ctx, start / 4096, (start + len) / 4096);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.fork.mmput(k, mm);
  return result;
}

export function* unregisterRange(k: Kernel, ctx: UserfaultfdCtx, start: number, end: number): MaySleep<number> {
  const { mm } = ctx;
  const vmas = vmasIn(mm, start, end);
  if (vmas.length === 0 || withinHugePage(vmas[0]!, start)) return -Errno.EINVAL;
  for (const vma of vmas) {
    // Since 6.17 only by the userfaultfd that has it.
    if (vma.uffd !== null && vma.uffd !== ctx) return -Errno.EINVAL;
    if (!k.userfaultfd.canUserfault(k, vma, vma.flags & VM_UFFD, ctx.has(UffdFeature.WP_ASYNC))) return -Errno.EINVAL;
  }
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmas[mm.findVmaIndex(vpn)];
    if (vma === undefined || vma.startVpn >= end) break;
    const from = Math.max(vpn, vma.startVpn);
    const to = Math.min(end, vma.endVpn);
    if (vma.uffd !== null) {
      // Those find ordinary memory when they have waited for mmap_lock.
      if ((vma.flags & VM.UFFD_MISSING) !== 0) yield* k.userfaultfd.wakeUserfault(k, vma.uffd, from * 4096, (to - from) * 4096);
      const part = yield* k.userfaultfd.clearVma(k, vma, from, to);
      if (typeof part === "number") return part;
    }
    vpn = to;
  }
  return 0;
}
