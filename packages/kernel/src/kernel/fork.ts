/**
 * @linux kernel/fork.c
 * @omits Namespaces, cgroups at birth (CLONE_INTO_CGROUP), tracers, and limits on the number of processes.
 * @own dupVma, mmgetNotZero
 */
import type { ForkedCtx } from "../fs/userfaultfd_events.js";
import type { FileTable } from "../fs/vfs.js";
import { inheritedMdwe } from "../mm/mdwe.js";
import { VM, VM_LOCKED_MASK, type Mm, type Vma } from "../mm/mm_types.js";
import type { Kernel } from "../kernel.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import { Process } from "./process.js";
import { SignalHandlers } from "./signal.js";

/** What a child and its parent have together, where each could have its own. */
export interface Sharing {
  /** Copied before the address space is: who waits in that for a userfaultfd has the child's descriptors open, too. */
  readonly files: FileTable;
  readonly handlers: boolean;
  /** The working directory and the umask (CLONE_FS). */
  readonly fs: boolean;
  /** What is not ignored is handled by default (CLONE_CLEAR_SIGHAND). */
  readonly clearHandlers: boolean;
  /** The parent's parent is the child's as well (CLONE_PARENT), and so is the signal of the end. */
  readonly sibling: boolean;
  /** The signal that tells the parent of the child's end; 0 for none. */
  readonly exitSignal: number;
}

/** Keeps an address space from being torn down while it is looked at; false when it is already. */
export function* mmgetNotZero(k: Kernel, mm: Mm): Atomic<boolean> {
  if (k.m.point(Op.MmUsers, mm.id)) yield SWITCH;
  if (mm.users === 0) return false;
  mm.users++;
  return true;
}

/** The last one tears it down. */
export function* mmput(k: Kernel, mm: Mm): MaySleep<void> {
  if (k.m.point(Op.MmUsers, mm.id)) yield SWITCH;
  if (--mm.users === 0) yield* k.mmap.exitMmap(k, mm);
}

/** A copy of an address space, its pages shared until somebody writes; null when memory is out. */
export function* dupMm(k: Kernel, old: Mm): MaySleep<Mm | null> {
  const mm = yield* k.mmap.mmAlloc(k);
  if (mm === null) return null;
  mm.inherit(old);
  mm.mdwe = inheritedMdwe(old);
  mm.membarriers = old.membarriers;
  if ((yield* k.fork.dupMmap(k, mm, old)) === 0) return mm;
  mm.users = 0;
  yield* k.mmap.exitMmap(k, mm);
  return null;
}

/**
 * Copies the VMAs of an address space, and what they map. Nobody else knows the copy yet but
 * reverse walks, which do not take its mmap_lock. 0 or a negated errno.
 */
export function* dupMmap(k: Kernel, mm: Mm, old: Mm): MaySleep<number> {
  const { m } = k;
  yield* k.uprobes.uprobeStartDupMmap(k);
  if (!old.mmapLock.tryWrite()) yield* old.mmapLock.write();
  yield* k.uprobes.uprobeDupMmap(k, old, mm);
  const forked: ForkedCtx[] = [];
  let error = 0;
  if (old.ksmSlot !== null) yield* k.ksm.ksmFork(k, mm, old);
  if (old.khugepaged) yield* k.khugepaged.khugepagedFork(k, mm, old);
  for (const src of old.vmas) {
    yield* k.memory.vmaStartWrite(k, src);
    if ((src.flags & VM.DONTCOPY) !== 0) continue;
    if (m.signals.fatalPending(m.current!)) error = -Errno.EINTR;
    else if ((src.flags & VM.ACCOUNT) !== 0 && !k.overcommit.enoughMemory(k, old, src.pages)) error = -Errno.ENOMEM;
    else {
      const vma = yield* k.fork.dupVma(k, mm, src, forked);
      if ((src.flags & VM.WIPEONFORK) === 0) error = yield* k.copyRange.copyPageRange(k, vma, src);
    }
    if (error !== 0) break;
  }
  // What the parent's CPUs may still write by.
  yield* k.tlbflush.flushTlbMm(k, old);
  yield* k.memory.mmapWriteUnlock(k, old);
  yield* k.uffdEvents.dupComplete(k, forked, error !== 0);
  yield* k.uprobes.uprobeEndDupMmap(k);
  return error;
}

/** A VMA of the child like one of the parent's. Locked memory is not inherited. */
export function* dupVma(k: Kernel, mm: Mm, src: Vma, forked: ForkedCtx[]): MaySleep<Vma> {
  const { m } = k;
  const vma = mm.newVma(src.startVpn, src.endVpn, src.flags & ~VM_LOCKED_MASK, src.pgoff, src.name, src.file);
  vma.uffd = src.uffd;
  vma.policy = src.policy;
  vma.anonPgoff = src.anonPgoff;
  yield* k.uffdEvents.dupUserfaultfd(k, vma, forked);
  if (src.file !== null) src.file.references++;
  vma.ops = src.ops;
  if (vma.ops?.open !== undefined) yield* vma.ops.open(k);
  const { anonVma } = src;
  if (anonVma !== null && (src.flags & VM.WIPEONFORK) === 0) {
    // Reverse walks from the parent's pages come to the child as well, and to the parent first.
    if (!anonVma.lock.tryWrite()) yield* anonVma.lock.write();
    vma.anonVma = anonVma;
    vma.anonId = m.anonVmas.newId();
    vma.forked = true;
    anonVma.vmas.add(vma);
    if (!anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  }
  if (vma.isHugetlb) k.hugetlbVma.inheritInChild(k, vma, src);
  yield* k.mmap.linkFileVma(k, vma);
  if (m.point(Op.VmaTree, mm.id)) yield SWITCH;
  mm.vmas.push(vma);
  k.mmap.account(k, vma, vma.pages);
  return vma;
}

/** A child of the current task's process, without threads and without an address space. */
export function* copyProcess(k: Kernel, pid: number, { files, handlers, fs, clearHandlers, sibling, exitSignal }: Sharing): Atomic<Process> {
  const { m } = k;
  const task = m.current!;
  const parent = task.process!;
  if (m.point(Op.Process, parent.pid)) yield SWITCH;
  const limits = parent.limits.slice();
  const child = new Process(
    pid,
    task.comm,
    sibling ? parent.parent : parent,
    files,
    handlers ? parent.handlers : clearHandlers ? parent.handlers.ignored() : new SignalHandlers(parent.handlers),
    parent.memcg,
    false,
    limits,
  );
  child.exitSignal = sibling ? parent.exitSignal : exitSignal;
  child.pgid = parent.pgid;
  child.sid = parent.sid;
  child.capabilities = parent.capabilities;
  child.cred = parent.cred;
  child.nice = parent.nice;
  child.fs = fs ? parent.fs : { ...parent.fs };
  child.exeFile = parent.exeFile === null ? null : k.exec.getExec(k, parent.exeFile);
  child.oomScoreAdj = parent.oomScoreAdj;
  child.oomScoreAdjMin = parent.oomScoreAdjMin;
  child.noNewPrivs = parent.noNewPrivs;
  child.personality = parent.personality;
  child.mceKill = parent.mceKill;
  child.startTimeNs = m.now();
  m.processes.set(pid, child);
  return child;
}
