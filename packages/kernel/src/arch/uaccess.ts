/**
 * @linux include/linux/uaccess.h
 * @omits Accesses go page by page in atomic steps; an access that crosses a page is two.
 * @omits Copies load no byte before the last is stored, where processors load up to 64.
 * @own accessFrame, accessFrameAtomic, atomicUser32, cachedFrame, cmpxchgUser32, copyFrameToUser,
 *   copyFromUserAtomic, copyFromUserPart, copyToUserPart, getUser32, getUser64, keepsTranslation, putUser32, putUser64, translate
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import { Access, type SignalInfo } from "./fault.js";
import { NO_PAGE } from "../mm/page.js";
import { USER_VPN_END, PTE } from "./pgtable.js";

const USER_END = USER_VPN_END * 4096;

/**
 * The frame that a user access of the current task reaches right now: through this CPU's TLB, and
 * where that misses, through the page table and the fault handler. Nothing may come between this
 * and the access itself: it has passed the access's own point. A signal when it cannot be.
 */
export function* accessFrame(k: Kernel, addr: number, access: Access): MaySleep<number | SignalInfo> {
  const { m } = k;
  const vpn = Math.floor(addr / 4096);
  const op = access === Access.Write ? Op.UserWrite : Op.UserRead;
  for (;;) {
    if (m.point(op, cachedFrame(k, vpn, access))) yield SWITCH;
    const frame = k.uaccess.translate(k, vpn, access);
    if (frame !== NO_PAGE) return frame;
    assertCpu(k);
    const signal = yield* k.fault.handleUserFault(k, addr, access);
    if (signal !== null) return signal;
    if (m.signals.fatalPending(m.current!)) return { signo: 9, code: 0, addr };
    if (m.retries.again("user_access")) yield SWITCH;
  }
}

/**
 * The same where nothing may sleep: NO_PAGE when the page must be faulted in first
 * (`pagefault_disable()`).
 */
export function* accessFrameAtomic(k: Kernel, addr: number, access: Access): Atomic<number> {
  const { m } = k;
  const { mm } = m.current!;
  const vpn = Math.floor(addr / 4096);
  const op = access === Access.Write ? Op.UserWrite : Op.UserRead;
  for (;;) {
    if (m.point(op, cachedFrame(k, vpn, access))) yield SWITCH;
    const frame = k.uaccess.translate(k, vpn, access);
    if (frame !== NO_PAGE) return frame;
    assertCpu(k);
    if (m.point(Op.TableRead, tableObject(mm!.id, vpn))) yield SWITCH;
    if (!k.fault.walkAndFill(k, mm!, vpn, access)) return NO_PAGE;
  }
}

/** @throws RangeError on a device's engine: nobody would flush what it caches */
function assertCpu({ m }: Kernel): void {
  const { isDevice, name } = m.executor!;
  if (isDevice) throw new RangeError(`${name} is no CPU, which user memory is for: a device reads and writes what hmm_range_fault() or a pin has given it`);
}

/** What this CPU's TLB has for a page, or NO_PAGE. */
export function cachedFrame(k: Kernel, vpn: number, access: Access): number {
  const { tlb } = k.m.executor!;
  const slot = vpn & (tlb.entries - 1);
  const tags = access === Access.Write ? tlb.writeTag : access === Access.Read ? tlb.readTag : tlb.execTag;
  return tags[slot] === vpn ? tlb.frame[slot]! : NO_PAGE;
}

/** The bits that an entry must have for a translation to be cached for an access. */
const CACHED = [PTE.V | PTE.R, PTE.V | PTE.W | PTE.D, PTE.V | PTE.X] as const;

/** The frame that the access reaches through this CPU's TLB, in one step with the access; NO_PAGE on a miss. */
export function translate(k: Kernel, vpn: number, access: Access): number {
  const { m } = k;
  m.touches(Op.TlbRead, m.executor!.id);
  const frame = cachedFrame(k, vpn, access);
  if (frame === NO_PAGE || !k.uaccess.keepsTranslation(k, vpn, access)) return NO_PAGE;
  m.touches(access === Access.Write ? Op.UserWrite : Op.UserRead, frame);
  m.sink?.emit(Event.UserAccess, m.executor!.id, vpn, frame, access);
  return frame;
}

/**
 * Whether the CPU still has the translation it may have cached. One that the page table no longer
 * grants may have been evicted as well as not: under the checker both are tried.
 */
export function keepsTranslation(k: Kernel, vpn: number, access: Access): boolean {
  const { m } = k;
  if (!m.config.checking) return true;
  const { tlb } = m.executor!;
  const mm = m.current!.mm!;
  const ptep = m.pt.find(mm.pgd, vpn);
  m.touches(Op.PteRead, ptep);
  const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
  const need = CACHED[access];
  const slot = vpn & (tlb.entries - 1);
  const current = (flags & need) === need && m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)) === tlb.frame[slot];
  if (current || m.choices.pick("tlb", 2) === 0) return true;
  k.tlbflush.localFlushPage(k, vpn);
  return false;
}

/** Copies bytes into the current task's memory: 0, or -EFAULT with what lay before it copied. */
export function* copyToUser(k: Kernel, addr: number, bytes: Uint8Array): MaySleep<number> {
  return (yield* k.uaccess.copyToUserPart(k, addr, bytes)) === bytes.length ? 0 : -Errno.EFAULT;
}

/** The same; how many bytes could be copied. */
export function* copyToUserPart(k: Kernel, addr: number, bytes: Uint8Array): MaySleep<number> {
  const { ram } = k.m;
  if (addr < 0 || addr + bytes.length > USER_END) return 0;
  for (let done = 0; done < bytes.length; ) {
    const offset = (addr + done) % 4096;
    const n = Math.min(4096 - offset, bytes.length - done);
    const frame = yield* k.uaccess.accessFrame(k, addr + done, Access.Write);
    if (typeof frame !== "number") return done;
    ram.bytes.set(bytes.subarray(done, done + n), frame * 4096 + offset);
    done += n;
  }
  return bytes.length;
}

/** Copies bytes out of the current task's memory: 0 or -EFAULT. */
export function* copyFromUser(k: Kernel, addr: number, into: Uint8Array): MaySleep<number> {
  return (yield* k.uaccess.copyFromUserPart(k, addr, into)) === into.length ? 0 : -Errno.EFAULT;
}

/** The same; how many bytes could be copied. */
export function* copyFromUserPart(k: Kernel, addr: number, into: Uint8Array): MaySleep<number> {
  const { ram } = k.m;
  if (addr < 0 || addr + into.length > USER_END) return 0;
  for (let done = 0; done < into.length; ) {
    const offset = (addr + done) % 4096;
    const n = Math.min(4096 - offset, into.length - done);
    const frame = yield* k.uaccess.accessFrame(k, addr + done, Access.Read);
    if (typeof frame !== "number") return done;
    const start = frame * 4096 + offset;
    into.set(ram.bytes.subarray(start, start + n), done);
    done += n;
  }
  return into.length;
}

/**
 * Copies bytes of a frame into the current task's memory; how many could be. Byte after byte: where the page that is written
 * is the one that is read, and lies ahead in it, what has been written is read in its turn.
 */
export function* copyFrameToUser(k: Kernel, addr: number, page: number, offset: number, length: number): MaySleep<number> {
  const { m } = k;
  if (addr < 0 || addr + length > USER_END) return 0;
  for (let done = 0; done < length; ) {
    const n = Math.min(4096 - ((addr + done) % 4096), length - done);
    const frame = yield* k.uaccess.accessFrame(k, addr + done, Access.Write);
    if (typeof frame !== "number") return done;
    m.touches(Op.FrameRead, page);
    m.ram.copyForward(frame * 4096 + ((addr + done) % 4096), page * 4096 + offset + done, n);
    done += n;
  }
  return length;
}

/** Copies into a frame what of the current task's memory can be read without a fault, byte after byte as well; how many bytes that were. */
export function* copyFromUserAtomic(k: Kernel, addr: number, page: number, offset: number, length: number): Atomic<number> {
  const { m } = k;
  if (addr < 0 || addr + length > USER_END) return 0;
  for (let done = 0; done < length; ) {
    const n = Math.min(4096 - ((addr + done) % 4096), length - done);
    const frame = yield* k.uaccess.accessFrameAtomic(k, addr + done, Access.Read);
    if (frame === NO_PAGE) return done;
    m.touches(Op.FrameWrite, page);
    m.ram.copyForward(page * 4096 + offset + done, frame * 4096 + ((addr + done) % 4096), n);
    done += n;
  }
  return length;
}

/** Touches each page of a range to read it; whether the first was there. */
export function* faultInReadable(k: Kernel, addr: number, length: number): MaySleep<boolean> {
  const byte = new Uint8Array(1);
  for (let at = addr; at < addr + length; at = (Math.floor(at / 4096) + 1) * 4096) {
    if ((yield* k.uaccess.copyFromUserPart(k, at, byte)) === 0) return at > addr;
  }
  return true;
}

/** A 32-bit word, unsigned; null for EFAULT. */
export function* getUser32(k: Kernel, addr: number): MaySleep<number | null> {
  const buffer = new Uint8Array(4);
  if ((yield* k.uaccess.copyFromUser(k, addr, buffer)) !== 0) return null;
  return new DataView(buffer.buffer).getUint32(0, true);
}

export function* getUser64(k: Kernel, addr: number): MaySleep<bigint | null> {
  const buffer = new Uint8Array(8);
  if ((yield* k.uaccess.copyFromUser(k, addr, buffer)) !== 0) return null;
  return new DataView(buffer.buffer).getBigUint64(0, true);
}

export function* putUser32(k: Kernel, addr: number, value: number): MaySleep<number> {
  const buffer = new Uint8Array(4);
  new DataView(buffer.buffer).setUint32(0, value >>> 0, true);
  return yield* k.uaccess.copyToUser(k, addr, buffer);
}

export function* putUser64(k: Kernel, addr: number, value: bigint): MaySleep<number> {
  const buffer = new Uint8Array(8);
  new DataView(buffer.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return yield* k.uaccess.copyToUser(k, addr, buffer);
}

/** A byte string of at most `max` bytes with its end; -ENAMETOOLONG where it is longer, or -EFAULT. */
export function* strncpyFromUser(k: Kernel, addr: number, max: number): MaySleep<string | number> {
  let text = "";
  const chunk = new Uint8Array(64);
  while (text.length < max) {
    const at = addr + text.length;
    // Never past the end of a page: what lies behind the string may not be mapped.
    const n = Math.min(chunk.length, 4096 - (at % 4096), max - text.length);
    const part = chunk.subarray(0, n);
    if ((yield* k.uaccess.copyFromUser(k, at, part)) !== 0) return -Errno.EFAULT;
    const end = part.indexOf(0);
    text += String.fromCharCode(...(end < 0 ? part : part.subarray(0, end)));
    if (end >= 0) return text;
  }
  return -Errno.ENAMETOOLONG;
}

/** Atomically updates an aligned 32-bit word; the old value, or null for EFAULT. */
export function* atomicUser32(k: Kernel, addr: number, update: (old: number) => number): MaySleep<number | null> {
  if (addr % 4 !== 0 || addr < 0 || addr >= USER_END) return null;
  const frame = yield* k.uaccess.accessFrame(k, addr, Access.Write);
  if (typeof frame !== "number") return null;
  const index = (frame << 10) + ((addr % 4096) >> 2);
  const old = k.m.ram.words[index]! >>> 0;
  k.m.ram.words[index] = update(old);
  return old;
}

/** Stores `value` if the word is `expected`; what it was, or null for EFAULT. */
export function* cmpxchgUser32(k: Kernel, addr: number, expected: number, value: number): MaySleep<number | null> {
  return yield* k.uaccess.atomicUser32(k, addr, (old) => (old === expected >>> 0 ? value : old));
}
