/**
 * @linux kernel/events/uprobes.c
 * @omits Reference counters in the program's memory (`ref_ctr_offset`), and session consumers with their cookies.
 * @omits `consumer_rwsem` and RCU around the consumers of a probe: a look at all of them is one step, and so is a change.
 * @omits A probe leaves the tree with its last reference, rather than by a worker some time later.
 * @own mayProbe, unapplyLocked
 */
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Mutex, RwSem } from "./locks.js";
import { Op } from "./op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { insnLength, ProbeInsn, SWBP_INSN, SWBP_INSN_BYTES, type PtRegs } from "../arch/uprobe_insn.js";
import { HostInode } from "../fs/host_fs.js";
import type { Inode, OpenFile } from "../fs/vfs.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { VM, type Mm, type Vma } from "../mm/mm_types.js";
import { ShmemInode } from "../mm/shmem_inode.js";

/*
 * Probes of user space. One is at an offset of a file, and so in every executable private mapping of it: there the page is
 * copied, and a breakpoint written into the copy. Who hits that tells the consumers of the probe, then goes on as if there
 * were none (`uprobe_hit`).
 */

/** What a handler wants done about the breakpoint. */
export enum UprobeAction {
  Keep,
  /** Nobody wants it in this address space, as far as this consumer is concerned. */
  Remove,
}

/** Who wants to hear of hits: of the instruction, of the return from the function that begins there, or of both. */
export interface UprobeConsumer {
  /** The address spaces that are to have the breakpoint; all of them without it. */
  filter?(mm: Mm): boolean;
  /** In one step, in the thread that has hit it, before the instruction is executed. */
  handler?(k: Kernel, regs: PtRegs): UprobeAction;
  /** The same after the function has returned, `func` being where it begins. */
  retHandler?(k: Kernel, func: bigint, regs: PtRegs): void;
}

/** A probe of one place in a file. Op.Uprobe with its id announces consumers and references. */
export class Uprobe {
  readonly consumers: UprobeConsumer[] = [];
  references = 1;
  /** What the file has there, once it has been read; 32 bits of it. */
  copied = 0;
  /** The same as an instruction that can be probed: its length, and whether the kernel does what it does. Null before the first breakpoint. */
  insn: { readonly bits: number; readonly bytes: number; readonly simulate: boolean } | null = null;

  constructor(
    readonly id: number,
    readonly inode: Inode,
    /** In bytes. */
    readonly offset: number,
    /** One registers or unregisters at a time. */
    readonly registerLock: RwSem,
  ) {}
}

/** Probes share so many locks for registration, of which nobody holds two: made at boot, as no lock is made while others are. */
const REGISTER_LOCKS = 4;

/** All probes of a machine. */
export class Uprobes {
  /** By inode and offset, in the order of registration. Op.Uprobe with 0 announces it. */
  readonly tree: Uprobe[] = [];
  nextId = 1;
  readonly registerLocks: readonly RwSem[];
  /** Read by fork, so that what is copied has all breakpoints, or none yet. */
  readonly dupMmapSem: RwSem;
  /** Breakpoints go into new mappings one mapping at a time. */
  readonly mmapMutex: Mutex;

  constructor({ locks }: Machine) {
    this.registerLocks = Array.from({ length: REGISTER_LOCKS }, () => new RwSem(locks, "register_rwsem"));
    this.dupMmapSem = new RwSem(locks, "dup_mmap_sem");
    this.mmapMutex = new Mutex(locks, "uprobes_mmap_mutex");
  }
}

/* Where a probe is in a mapping. */

/** Whether breakpoints may be in a mapping (valid_vma()): they come where nobody writes, and go from everywhere. */
export function validVma(_k: Kernel, vma: Vma, isRegister: boolean): boolean {
  const looked = VM.HUGETLB | VM.MAYEXEC | VM.MAYSHARE | (isRegister ? VM.WRITE : 0);
  return vma.file !== null && (vma.flags & looked) === VM.MAYEXEC;
}

export function offsetToVaddr(vma: Vma, offset: number): number {
  return vma.startVpn * PAGE_SIZE + offset - vma.pgoff * PAGE_SIZE;
}

export function vaddrToOffset(vma: Vma, vaddr: number): number {
  return vma.pgoff * PAGE_SIZE + (vaddr - vma.startVpn * PAGE_SIZE);
}

/** The probes of what a mapping maps. */
function probesOf({ tree }: Uprobes, vma: Vma): Uprobe[] {
  const min = vma.pgoff * PAGE_SIZE;
  const max = min + vma.pages * PAGE_SIZE;
  return tree.filter(({ inode, offset }) => inode === vma.file!.inode && offset >= min && offset < max);
}

/** The probe at a place in a file, with no reference; the caller has announced it. */
export function findUprobe(k: Kernel, inode: Inode, offset: number): Uprobe | null {
  return k.m.uprobes.tree.find((one) => one.inode === inode && one.offset === offset) ?? null;
}

/* Probes come and go. */

/** The probe at a place, which may be new, with a reference. */
export function* allocUprobe(k: Kernel, inode: Inode, offset: number): Atomic<Uprobe> {
  const { m } = k;
  if (m.point(Op.Uprobe, 0)) yield SWITCH;
  const found = k.uprobes.findUprobe(k, inode, offset);
  if (found !== null) {
    m.touches(Op.Uprobe, found.id);
    found.references++;
    return found;
  }
  const { uprobes } = m;
  const id = uprobes.nextId++;
  const uprobe = new Uprobe(id, inode, offset, uprobes.registerLocks[id % REGISTER_LOCKS]!);
  uprobes.tree.push(uprobe);
  return uprobe;
}

export function* getUprobe(k: Kernel, uprobe: Uprobe): Atomic<void> {
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  uprobe.references++;
}

export function* putUprobe(k: Kernel, uprobe: Uprobe): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  if (--uprobe.references > 0) return;
  m.touches(Op.Uprobe, 0);
  const { tree } = m.uprobes;
  tree.splice(tree.indexOf(uprobe), 1);
}

/** Whether there can be a probe at a place in a file: 0, -EIO where the file's pages are not read from anywhere, -EINVAL for what is no place. */
export function mayProbe(_k: Kernel, inode: Inode, offset: number): number {
  if (!(inode instanceof ShmemInode) && !(inode instanceof HostInode)) return -Errno.EIO;
  return offset > inode.size || offset % SWBP_INSN_BYTES !== 0 ? -Errno.EINVAL : 0;
}

/** Puts a probe at a place in a file, which the caller keeps; the probe, or a negated errno, with nothing left of it. */
export function* uprobeRegister(k: Kernel, inode: Inode, offset: number, consumer: UprobeConsumer): MaySleep<Uprobe | number> {
  const { m } = k;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  const refused = k.uprobes.mayProbe(k, inode, offset);
  if (refused !== 0) return refused;
  const uprobe = yield* k.uprobes.allocUprobe(k, inode, offset);
  const { registerLock } = uprobe;
  if (!registerLock.tryWrite()) yield* registerLock.write();
  if (m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  uprobe.consumers.push(consumer);
  const error = yield* k.uprobes.registerForEachVma(k, uprobe, consumer);
  if (!registerLock.tryUnlock()) yield* registerLock.unlock();
  if (error === 0) return uprobe;
  yield* k.uprobes.uprobeUnregister(k, uprobe, consumer);
  return error;
}

/** Takes a consumer from a probe, and the breakpoints that nobody else wants. */
export function* uprobeUnregister(k: Kernel, uprobe: Uprobe, consumer: UprobeConsumer): MaySleep<void> {
  const { m } = k;
  const { registerLock } = uprobe;
  if (!registerLock.tryWrite()) yield* registerLock.write();
  if (m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  uprobe.consumers.splice(uprobe.consumers.indexOf(consumer), 1);
  const error = yield* k.uprobes.registerForEachVma(k, uprobe, null);
  if (!registerLock.tryUnlock()) yield* registerLock.unlock();
  if (error !== 0) m.dmesg.print(`uprobe: ${m.current!.comm}:${m.current!.id} failed to unregister, leaking uprobe`);
  else yield* k.uprobes.putUprobe(k, uprobe);
}

/** What a consumer's filter says has changed: breakpoints come, or those go that nobody wants. 0, or -ENOENT for one that is no more. */
export function* uprobeApply(k: Kernel, uprobe: Uprobe, consumer: UprobeConsumer, add: boolean): MaySleep<number> {
  const { registerLock } = uprobe;
  if (!registerLock.tryWrite()) yield* registerLock.write();
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  const known = uprobe.consumers.includes(consumer);
  const error = known ? yield* k.uprobes.registerForEachVma(k, uprobe, add ? consumer : null) : -Errno.ENOENT;
  if (!registerLock.tryUnlock()) yield* registerLock.unlock();
  return error;
}

/** Whether a consumer wants the breakpoint in an address space. */
export function* filterChain(k: Kernel, uprobe: Uprobe, mm: Mm): Atomic<boolean> {
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  return uprobe.consumers.some((consumer) => consumer.filter?.(mm) ?? true);
}

/** A mapping that has the place of a probe, its address space kept. */
interface MapInfo {
  readonly mm: Mm;
  readonly vaddr: number;
}

/** All mappings that have the place of a probe. */
export function* buildMapInfo(k: Kernel, uprobe: Uprobe, isRegister: boolean): MaySleep<MapInfo[]> {
  const found: MapInfo[] = [];
  const mapping = uprobe.inode.mapping ?? null;
  // Nobody has ever mapped or read it.
  if (mapping === null) return found;
  if (!mapping.lock.tryRead()) yield* mapping.lock.read();
  for (const vma of mapping.vmas) {
    const vaddr = offsetToVaddr(vma, uprobe.offset);
    if (vaddr < vma.startVpn * PAGE_SIZE || vaddr >= vma.endVpn * PAGE_SIZE || !k.uprobes.validVma(k, vma, isRegister)) continue;
    if (yield* k.fork.mmgetNotZero(k, vma.mm)) found.push({ mm: vma.mm, vaddr });
  }
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
  return found.reverse();
}

/** Puts the breakpoint into every mapping that `added` wants, or without it takes those away that nobody wants: 0, or the first error. */
export function* registerForEachVma(k: Kernel, uprobe: Uprobe, added: UprobeConsumer | null): MaySleep<number> {
  const { m } = k;
  const { dupMmapSem } = m.uprobes;
  const isRegister = added !== null;
  let error = 0;
  if (!dupMmapSem.tryWrite()) yield* dupMmapSem.write();
  for (const { mm, vaddr } of yield* k.uprobes.buildMapInfo(k, uprobe, isRegister)) {
    if (error === 0 || !isRegister) {
      if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
      const vma = mm.vmaAt(Math.floor(vaddr / PAGE_SIZE));
      const still = vma !== null && k.uprobes.validVma(k, vma, isRegister) && vma.file!.inode === uprobe.inode && vaddrToOffset(vma, vaddr) === uprobe.offset;
      let result = 0;
      m.touches(Op.MmCounter, mm.id);
      if (still && isRegister && (added.filter?.(mm) ?? true)) result = yield* k.uprobes.installBreakpoint(k, uprobe, vma, vaddr);
      else if (still && !isRegister && mm.hasUprobes && !(yield* k.uprobes.filterChain(k, uprobe, mm))) result = yield* k.uprobes.removeBreakpoint(k, uprobe, vma, vaddr);
      error = error === 0 ? result : error;
      yield* k.memory.mmapWriteUnlock(k, mm);
    }
    yield* k.fork.mmput(k, mm);
  }
  if (!dupMmapSem.tryUnlock()) yield* dupMmapSem.unlock();
  return error;
}

/** Takes a breakpoint from the current address space that nobody wants there. */
export function* unapplyUprobe(k: Kernel, uprobe: Uprobe, mm: Mm): MaySleep<void> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  yield* k.uprobes.unapplyLocked(k, uprobe, mm);
  yield* k.memory.mmapWriteUnlock(k, mm);
}

/** The same with mmap_lock held. */
export function* unapplyLocked(k: Kernel, uprobe: Uprobe, mm: Mm): MaySleep<void> {
  for (const vma of mm.vmas) {
    if (!k.uprobes.validVma(k, vma, false) || vma.file!.inode !== uprobe.inode) continue;
    const vaddr = offsetToVaddr(vma, uprobe.offset);
    if (vaddr >= vma.startVpn * PAGE_SIZE && vaddr < vma.endVpn * PAGE_SIZE) yield* k.uprobes.removeBreakpoint(k, uprobe, vma, vaddr);
  }
}

/* Breakpoints. mmap_lock is held for writing. */

/** Writes the breakpoint into a mapping: 0, or a negated errno. */
export function* installBreakpoint(k: Kernel, uprobe: Uprobe, vma: Vma, vaddr: number): MaySleep<number> {
  const { mm } = vma;
  const error = yield* k.uprobes.prepareUprobe(k, uprobe, vma.file!);
  if (error !== 0) return error;
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  // Before it can be hit.
  const first = !mm.hasUprobes;
  mm.hasUprobes = true;
  const result = yield* k.uprobeWrite.uprobeWriteOpcode(k, vma, vaddr, SWBP_INSN, true);
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  if (result === 0) mm.recalcUprobes = false;
  else if (first) mm.hasUprobes = false;
  return result;
}

/** Puts the instruction back: 0, or a negated errno. */
export function* removeBreakpoint(k: Kernel, uprobe: Uprobe, vma: Vma, vaddr: number): MaySleep<number> {
  if (k.m.point(Op.MmCounter, vma.mm.id)) yield SWITCH;
  vma.mm.recalcUprobes = true;
  return yield* k.uprobeWrite.uprobeWriteOpcode(k, vma, vaddr, uprobe.copied & 0xffff, false);
}

/** The kernel does not name it to programs; it gets there all the same. */
const ENOTSUPP = 524;
/** What is copied of a file: the longest instruction, and as much behind it. */
const MAX_UINSN_BYTES = 8;

/** Reads the instruction, and sees what can be done about it: 0, -EIO, -ENOTSUPP for a breakpoint, -EINVAL for what cannot be probed. */
export function* prepareUprobe(k: Kernel, uprobe: Uprobe, file: OpenFile): MaySleep<number> {
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  if (uprobe.insn !== null) return 0;
  const bytes = new Uint8Array(MAX_UINSN_BYTES);
  const got = yield* file.ops.read!(k, file, bytes, uprobe.offset);
  if (got <= 0) return got === 0 ? -Errno.EIO : got;
  const bits = new DataView(bytes.buffer).getUint32(0, true);
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  uprobe.copied = bits;
  if ((bits & 0xffff) === SWBP_INSN) return -ENOTSUPP;
  const kind = k.uprobeInsn.riscvProbeDecodeInsn(k, bits);
  if (kind === ProbeInsn.Rejected) return -Errno.EINVAL;
  uprobe.insn = { bits, bytes: insnLength(bits), simulate: kind === ProbeInsn.GoodNoSlot };
  return 0;
}

/* Address spaces change. Where there is no probe at all, nobody calls these but fork. */

export function noUprobeEvents({ m }: Kernel): boolean {
  m.touches(Op.Uprobe, 0);
  return m.uprobes.tree.length === 0;
}

/** A mapping is there, or has grown: what breakpoints are to be in it. mmap_lock is held for writing; errors are nobody's. */
export function* uprobeMmap(k: Kernel, vma: Vma): MaySleep<void> {
  const { m } = k;
  if (!k.uprobes.validVma(k, vma, true)) return;
  const { mmapMutex } = m.uprobes;
  if (!mmapMutex.tryLock()) yield* mmapMutex.lock();
  if (m.point(Op.Uprobe, 0)) yield SWITCH;
  const pending = probesOf(m.uprobes, vma);
  for (const uprobe of pending) {
    m.touches(Op.Uprobe, uprobe.id);
    uprobe.references++;
  }
  for (const uprobe of pending) {
    const wanted = !m.signals.fatalPending(m.current!) && (yield* k.uprobes.filterChain(k, uprobe, vma.mm));
    if (wanted) yield* k.uprobes.installBreakpoint(k, uprobe, vma, offsetToVaddr(vma, uprobe.offset));
    yield* k.uprobes.putUprobe(k, uprobe);
  }
  if (!mmapMutex.tryUnlock()) yield* mmapMutex.unlock();
}

/** What a mapping has goes: with it, perhaps, the last breakpoint of the address space. */
export function* uprobeMunmap(k: Kernel, vma: Vma): Atomic<void> {
  const { m } = k;
  const { mm } = vma;
  m.touches(Op.MmCounter, mm.id);
  m.touches(Op.MmUsers, mm.id);
  if (!mm.hasUprobes || mm.users === 0 || !k.uprobes.validVma(k, vma, false)) return;
  if (m.point(Op.Uprobe, 0)) yield SWITCH;
  m.touches(Op.MmCounter, mm.id);
  if (probesOf(m.uprobes, vma).length > 0) mm.recalcUprobes = true;
}

/** Whether there is a breakpoint in an address space yet, once some have gone. mmap_lock is held. */
export function* mmfRecalcUprobes(k: Kernel, mm: Mm): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Uprobe, 0)) yield SWITCH;
  m.touches(Op.MmCounter, mm.id);
  mm.recalcUprobes = false;
  mm.hasUprobes = mm.vmas.some((vma) => k.uprobes.validVma(k, vma, false) && probesOf(m.uprobes, vma).length > 0);
}

/** A child has the pages of its parent, breakpoints and all. */
export function* uprobeDupMmap(k: Kernel, old: Mm, mm: Mm): Atomic<void> {
  k.m.touches(Op.MmCounter, old.id);
  if (!old.hasUprobes) return;
  if (k.m.point(Op.MmCounter, old.id)) yield SWITCH;
  mm.hasUprobes = true;
  // What is not copied to a child may have had the only ones.
  mm.recalcUprobes = true;
}

/** Fork begins: nobody registers until `uprobeEndDupMmap`. */
export function* uprobeStartDupMmap(k: Kernel): MaySleep<void> {
  const { dupMmapSem } = k.m.uprobes;
  if (!dupMmapSem.tryReadAside()) yield* dupMmapSem.read();
}

export function* uprobeEndDupMmap(k: Kernel): Atomic<void> {
  const { dupMmapSem } = k.m.uprobes;
  if (!dupMmapSem.tryUnlockAside()) yield* dupMmapSem.unlock();
}
