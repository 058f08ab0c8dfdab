import {
  Errno, hstateOf, MapFlag, memfdCreate, memfdCreateHugetlb, MfdFlag, O, Op, PAGE_SIZE, PG, ptePresent, radixToSwpEntry, SWITCH, tableObject, USER_VPN_END,
  secretmemFileCreate, VM, xaIsValue, type Atomic,
} from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import * as F from "./format.js";
import { installOrPut } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const mmap: Handler = function* (t, [address, length, prot, flags, fd, offset]) {
  const { k, task } = t;
  if (offset! % PAGE_SIZE !== 0) return -Errno.EINVAL;
  let file = null;
  if ((flags! & MapFlag.ANONYMOUS) === 0) {
    file = task.process!.files.get(int(fd!));
    if (file === null || (file.flags & O.PATH) !== 0) return -Errno.EBADF;
    k.m.vfs.get(file);
  }
  const result = yield* k.mmap.doMmap(k, task.mm!, address!, length!, int(prot!), int(flags!), file, offset! / PAGE_SIZE);
  // The mapping has taken a reference of its own.
  if (file !== null) yield* k.m.vfs.put(k, file);
  return result;
};

const munmap: Handler = function* (t, [address, length]) {
  return yield* t.k.mmap.doMunmap(t.k, t.task.mm!, address!, length!);
};

const mremap: Handler = function* (t, [address, oldLength, newLength, flags, newAddress]) {
  return yield* t.k.mremap.doMremap(t.k, t.task.mm!, address!, oldLength!, newLength!, int(flags!), newAddress!);
};

const brk: Handler = function* (t, [address]) {
  return yield* t.k.mmap.doBrk(t.k, t.task.mm!, address!);
};

const mprotect: Handler = function* (t, [address, length, prot]) {
  return yield* t.k.mprotect.doMprotect(t.k, t.task.mm!, address!, length!, int(prot!));
};

const madvise: Handler = function* (t, [address, length, advice]) {
  return yield* t.k.madvise.doMadvise(t.k, t.task.mm!, address!, length!, int(advice!));
};

const mseal: Handler = function* (t, [address, length, flags]) {
  return yield* t.k.mseal.doMseal(t.k, t.task.mm!, address!, length!, flags!);
};

const remapFilePages: Handler = function* (t, [address, length, prot, offset, flags]) {
  return yield* t.k.remapFilePages.doRemapFilePages(t.k, t.task.mm!, address!, length!, int(prot!), offset!, int(flags!));
};

/** Checks a range as msync does: -EINVAL, -ENOMEM where something is unmapped, or 0. Under mmap_lock. */
function checkMapped(t: GuestThread, address: number, length: number): number {
  const mm = t.task.mm!;
  if (address % PAGE_SIZE !== 0) return -Errno.EINVAL;
  const end = Math.ceil((address + length) / PAGE_SIZE);
  // A negative length is an unsigned one of more than half of what there is: rounded up it may be 0.
  if (length < 0 && length > -PAGE_SIZE) return 0;
  if (address < 0 || length < 0 || end > USER_VPN_END) return -Errno.ENOMEM;
  let vpn = address / PAGE_SIZE;
  while (vpn < end) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) return -Errno.ENOMEM;
    vpn = vma.endVpn;
  }
  return 0;
}

const mincore: Handler = function* (t, [address, length, vec]) {
  const { k } = t;
  const mm = t.task.mm!;
  if (address! % PAGE_SIZE !== 0) return -Errno.EINVAL;
  const start = address! / PAGE_SIZE;
  const end = start + Math.ceil(length! / PAGE_SIZE);
  if (address! < 0 || length! < 0 || end > USER_VPN_END) return -Errno.ENOMEM;
  const bytes: number[] = [];
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  // What lies before a hole is told all the same.
  for (let vpn = start; vpn < end && mm.vmaAt(vpn) !== null; vpn++) bytes.push((yield* isInCore(t, vpn)) ? 1 : 0);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  const error = yield* k.uaccess.copyToUser(k, vec!, Uint8Array.from(bytes));
  return error < 0 ? error : bytes.length < end - start ? -Errno.ENOMEM : 0;
};

/** A swapped page counts while the swap cache has it; other special entries count always, but markers, which are as nothing. Of a file, what is in the page cache counts, mapped or not. */
function* isInCore(t: GuestThread, vpn: number): Atomic<boolean> {
  const { k } = t;
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(t.task.mm!.id, vpn))) yield SWITCH;
  const ptep = m.pt.find(t.task.mm!.pgd, vpn);
  m.touches(Op.PteRead, ptep);
  const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
  if (flags === 0 || k.pteMarker.pteMarker(flags, m.pt.pfn(ptep)) !== 0) {
    const vma = t.task.mm!.vmaAt(vpn);
    if (vma === null || vma.mapping === null) return false;
    // Of huge pages what is mapped counts, where there is a table that could say so.
    if (vma.isHugetlb && k.hugetlb.hugetlbWalk(k, vma.mm, vpn, hstateOf(vma)) >= 0) return false;
    const index = vma.linearIndex(vma.isHugetlb ? vpn - (vpn % hstateOf(vma).pages) : vpn);
    if (m.point(Op.PageCacheRead, vma.mapping.object(index))) yield SWITCH;
    const entry = vma.mapping.at(index);
    if (xaIsValue(entry)) return m.swap.cache[radixToSwpEntry(entry)]! >= 0;
    return entry >= 0 && m.memmap.has(m.memmap.folioOf(entry), PG.uptodate);
  }
  if (ptePresent(flags)) return true;
  return !k.swapops.isSwapEntry(k, flags) || m.swap.cache[m.pt.pfn(ptep)]! >= 0;
}

const MS_ASYNC = 1;
const MS_INVALIDATE = 2;
const MS_SYNC = 4;

/** Whether some of a range that is all mapped is locked in memory. */
function hasLocked(t: GuestThread, address: number, length: number): boolean {
  const { vmas } = t.task.mm!;
  const [start, end] = [address / PAGE_SIZE, Math.ceil((address + length) / PAGE_SIZE)];
  return vmas.some((vma) => vma.startVpn < end && vma.endVpn > start && (vma.flags & VM.LOCKED) !== 0);
}

const msync: Handler = function* (t, [address, length, flags]) {
  const f = int(flags!);
  if ((f & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || ((f & MS_ASYNC) !== 0 && (f & MS_SYNC) !== 0)) return -Errno.EINVAL;
  const { mmapLock } = t.task.mm!;
  if (!mmapLock.tryRead()) yield* mmapLock.read();
  let error = checkMapped(t, address!, length!);
  // Met before or behind a hole.
  if (error !== -Errno.EINVAL && (f & MS_INVALIDATE) !== 0 && length! > 0 && hasLocked(t, address!, length!)) error = -Errno.EBUSY;
  if (!mmapLock.tryUnlock()) yield* mmapLock.unlock();
  return error;
};

/** Longest name, without what goes before it: NAME_MAX less "memfd:". */
const MFD_NAME_MAX = 249;
const MFD_KNOWN = MfdFlag.CLOEXEC | MfdFlag.ALLOW_SEALING | MfdFlag.NOEXEC_SEAL | MfdFlag.EXEC;

/** With a size in the upper six bits. */
const MFD_HUGETLB_KNOWN = MfdFlag.HUGETLB | (63 << 26);

const memfd: Handler = function* (t, [name, flags]) {
  const { k } = t;
  const f = int(flags!);
  const huge = (f & MfdFlag.HUGETLB) !== 0;
  if ((f & ~(huge ? MFD_KNOWN | MFD_HUGETLB_KNOWN : MFD_KNOWN)) !== 0 || (f & (MfdFlag.EXEC | MfdFlag.NOEXEC_SEAL)) === (MfdFlag.EXEC | MfdFlag.NOEXEC_SEAL)) return -Errno.EINVAL;
  const text = yield* k.uaccess.strncpyFromUser(k, name!, MFD_NAME_MAX + 1);
  if (typeof text === "number") return text === -Errno.ENAMETOOLONG ? -Errno.EINVAL : text;
  const file = huge ? yield* memfdCreateHugetlb(k, text, f) : memfdCreate(k, text, f);
  if (typeof file === "number") return file;
  return yield* installOrPut(t, file, (f & MfdFlag.CLOEXEC) !== 0, 0);
};

const memfdSecret: Handler = function* (t, [flags]) {
  const f = int(flags!);
  if ((f & ~O.CLOEXEC) !== 0) return -Errno.EINVAL;
  return yield* installOrPut(t, secretmemFileCreate(t.k), (f & O.CLOEXEC) !== 0, 0);
};

const MEMBARRIER_QUERY = 0;
/** Every barrier but the ones that restart rseq; all guests' accesses are sequentially consistent here. */
const MEMBARRIER_KNOWN = 1 | 2 | 4 | 8 | 16 | 32 | 64;

/** Commands that are for who has registered, and what does that. */
const MEMBARRIER_REGISTERED_BY = new Map([[8, 16], [32, 64]]);

const membarrier: Handler = function* (t, [command, flags]) {
  if (int(flags!) !== 0) return -Errno.EINVAL;
  if (int(command!) === MEMBARRIER_QUERY) return MEMBARRIER_KNOWN;
  if ((command! & MEMBARRIER_KNOWN) === 0 || (command! & (command! - 1)) !== 0) return -Errno.EINVAL;
  const mm = t.task.mm!;
  const registration = MEMBARRIER_REGISTERED_BY.get(int(command!)) ?? 0;
  if ((mm.membarriers & registration) !== registration) return -Errno.EPERM;
  mm.membarriers |= int(command!);
  return 0;
};

const flushIcache: Handler = function* (t, [, , flags]) {
  if ((int(flags!) & ~1) !== 0) return -Errno.EINVAL;
  t.linux.group.code.invalidateAll();
  for (const cpu of t.linux.cpus) cpu.hart.refetch = true;
  return 0;
};

const readahead: Handler = function* (t, [fd]) {
  const file = t.task.process!.files.get(int(fd!));
  if (file === null || !file.readable) return -Errno.EBADF;
  return file.inode.kind === "file" ? 0 : -Errno.EINVAL;
};

const userfaultfd: Handler = function* (t, [flags]) {
  return yield* t.k.userfaultfdFile.sysUserfaultfd(t.k, int(flags!));
};

const RANGE = [F.POINTER, F.SIZE];

export const MM: readonly (readonly [number, Syscall])[] = [
  [214, call("brk", [F.POINTER], brk, "", "address")],
  [215, call("munmap", RANGE, munmap)],
  [216, call("mremap", [...RANGE, F.SIZE, F.MREMAP_FLAGS, F.MREMAP_ADDRESS], mremap, "", "address")],
  [222, call("mmap", [F.POINTER, F.SIZE, F.PROT, F.MAP_FLAGS, F.INT, F.OFFSET], mmap, "what the memory management refuses", "address")],
  [226, call("mprotect", [...RANGE, F.PROT], mprotect)],
  [227, call("msync", [...RANGE, F.MSYNC_FLAGS], msync)],
  [232, call("mincore", [...RANGE, F.OUT], mincore)],
  [233, call("madvise", [...RANGE, F.MADVICE], madvise, "what the memory management refuses")],
  [279, call("memfd_create", [F.PATH, F.MFD_FLAGS], memfd)],
  [447, call("memfd_secret", [F.CLOEXEC], memfdSecret)],
  [259, call("riscv_flush_icache", [F.POINTER, F.POINTER, F.FLUSH_ICACHE_FLAGS], flushIcache)],
  [283, call("membarrier", [F.MEMBARRIER_COMMAND, F.HEX, F.INT], membarrier, "no rseq commands")],
  [234, call("remap_file_pages", [...RANGE, F.PROT, F.SIZE, F.MAP_FLAGS], remapFilePages)],
  [288, call("pkey_mprotect", [...RANGE, F.PROT, F.INT], null)],
  [289, call("pkey_alloc", [F.HEX, F.HEX], null)],
  [290, call("pkey_free", [F.INT], null)],
  [282, call("userfaultfd", [F.UFFD_FLAGS], userfaultfd)],
  [462, call("mseal", [...RANGE, F.HEX], mseal)],
  [213, call("readahead", [F.INT, F.SIZE, F.SIZE], readahead)],
];
