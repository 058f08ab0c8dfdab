import type { MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import type { Kernel } from "../../kernel.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { VM, type Mm, type Vma } from "../../mm/mm_types.js";
import { majorOf, minorOf } from "../vfs.js";
import { vmaKernelPageSize, vmaName } from "./task_mmu.js";

/** PROCMAP_QUERY of /proc/PID/maps: one VMA, as a structure (Documentation/filesystems/proc.rst). */
export const PROCMAP_QUERY = 0xc068_6611;

/** PROCMAP_QUERY_*. */
enum Query {
  VMA_READABLE = 1 << 0,
  VMA_WRITABLE = 1 << 1,
  VMA_EXECUTABLE = 1 << 2,
  VMA_SHARED = 1 << 3,
  COVERING_OR_NEXT_VMA = 1 << 4,
  FILE_BACKED_VMA = 1 << 5,
}

const PERMISSIONS: readonly (readonly [Query, VM])[] = [
  [Query.VMA_READABLE, VM.READ],
  [Query.VMA_WRITABLE, VM.WRITE],
  [Query.VMA_EXECUTABLE, VM.EXEC],
  [Query.VMA_SHARED, VM.MAYSHARE],
];
const KNOWN_FLAGS = 2 * Query.FILE_BACKED_VMA - 1;
const ARG_SIZE = 104;
/** Up to and with the address that is asked for. */
const ARG_SIZE_MIN = 24;
const PATH_MAX = 4096;

/** Where fields of the structure are. */
const AT = {
  flags: 8, address: 16, start: 24, end: 32, vmaFlags: 40, pageSize: 48, offset: 56, inode: 64,
  major: 72, minor: 76, nameSize: 80, buildIdSize: 84, nameAddress: 88, buildIdAddress: 96,
} as const;

/** The VMA that is asked for; null when there is none. mmap_lock is held. */
function matchingVma(mm: Mm, address: number, flags: number): Vma | null {
  const next = (flags & Query.COVERING_OR_NEXT_VMA) !== 0;
  let i = mm.findVmaIndex(Math.floor(address / PAGE_SIZE));
  for (; i >= 0 && i < mm.vmas.length; i++) {
    const vma = mm.vmas[i]!;
    const fits =
      ((flags & Query.FILE_BACKED_VMA) === 0 || vma.file !== null) && PERMISSIONS.every(([query, flag]) => (flags & query) === 0 || (vma.flags & flag) !== 0);
    if (fits && (next || vma.startVpn * PAGE_SIZE <= address)) return vma;
    if (!next) return null;
  }
  return null;
}

/** The ioctl: 0, -ENOENT where nothing fits, -ESRCH when the address space is gone, -ENAMETOOLONG, -EINVAL, -E2BIG, -EFAULT. */
export function* procmapQuery(k: Kernel, mm: Mm | null, arg: number): MaySleep<number> {
  const size = yield* k.uaccess.getUser64(k, arg);
  if (size === null) return -Errno.EFAULT;
  if (size > BigInt(PAGE_SIZE)) return -Errno.E2BIG;
  if (size < BigInt(ARG_SIZE_MIN)) return -Errno.EINVAL;
  const bytes = new Uint8Array(Math.max(ARG_SIZE, Number(size)));
  if ((yield* k.uaccess.copyFromUser(k, arg, bytes.subarray(0, Number(size)))) !== 0) return -Errno.EFAULT;
  // Fields of a newer kernel: none may ask for anything.
  if (bytes.subarray(ARG_SIZE).some((byte) => byte !== 0)) return -Errno.E2BIG;
  const view = new DataView(bytes.buffer);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  const flags = u64(AT.flags);
  if (flags > KNOWN_FLAGS) return -Errno.EINVAL;
  const nameSize = view.getUint32(AT.nameSize, true);
  if ((nameSize !== 0) !== (u64(AT.nameAddress) !== 0)) return -Errno.EINVAL;
  if ((view.getUint32(AT.buildIdSize, true) !== 0) !== (u64(AT.buildIdAddress) !== 0)) return -Errno.EINVAL;
  if (mm === null || !(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = matchingVma(mm, u64(AT.address), flags);
  const name = vma === null ? new Uint8Array(0) : new TextEncoder().encode(vmaName(vma));
  if (vma !== null) fill(view, vma);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  if (vma === null) return -Errno.ENOENT;
  // No file that is mapped has a build id here.
  view.setUint32(AT.buildIdSize, 0, true);
  if (nameSize !== 0) {
    const written = name.length === 0 ? 0 : name.length + 1;
    if (written > Math.min(nameSize, PATH_MAX)) return -Errno.ENAMETOOLONG;
    view.setUint32(AT.nameSize, written, true);
    if (written > 0 && (yield* k.uaccess.copyToUser(k, u64(AT.nameAddress), Uint8Array.of(...name, 0))) !== 0) return -Errno.EFAULT;
  }
  return (yield* k.uaccess.copyToUser(k, arg, bytes.subarray(0, Math.min(ARG_SIZE, Number(size))))) === 0 ? 0 : -Errno.EFAULT;
}

function fill(view: DataView, vma: Vma): void {
  const set = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  set(AT.start, vma.startVpn * PAGE_SIZE);
  set(AT.end, vma.endVpn * PAGE_SIZE);
  set(AT.vmaFlags, PERMISSIONS.reduce((sum, [query, flag]) => ((vma.flags & flag) !== 0 ? sum | query : sum), 0));
  set(AT.pageSize, vmaKernelPageSize(vma));
  const inode = vma.file?.inode;
  set(AT.offset, inode === undefined ? 0 : vma.pgoff * PAGE_SIZE);
  set(AT.inode, inode?.ino ?? 0);
  view.setUint32(AT.major, majorOf(inode?.dev ?? 0), true);
  view.setUint32(AT.minor, minorOf(inode?.dev ?? 0), true);
}
