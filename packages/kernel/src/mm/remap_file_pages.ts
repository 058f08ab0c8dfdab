/**
 * @linux mm/mmap.c
 * @own doRemapFilePages
 */
import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import type { OpenFile } from "../fs/vfs.js";
import { MapFlag } from "./mmap.js";
import { VM, VM_ACCESS, type Mm } from "./mm_types.js";

/** MAP_* that the call takes; all but NONBLOCK mean nothing to it. */
const KNOWN_FLAGS = MapFlag.NONBLOCK;

/**
 * remap_file_pages(2), which since 4.0 is a mapping of its own over the old one. Bytes, and `pgoff` in pages:
 * 0, -EINVAL where the range is not one shared mapping, or has neighbours of another file, -EPERM for a seal.
 */
export function* doRemapFilePages(k: Kernel, mm: Mm, addr: number, len: number, prot: number, pgoff: number, flags: number): MaySleep<number> {
  const start = Math.floor(addr / 4096);
  const pages = Math.floor(len / 4096);
  if (prot !== 0 || pages <= 0 || start < 0 || pgoff < 0) return -Errno.EINVAL;
  const { file, vmFlags } = yield* look(k, mm, start, pages);
  if (file === null) return -Errno.EINVAL;
  const locked = (vmFlags & VM.LOCKED) !== 0 ? MapFlag.LOCKED : 0;
  const mapFlags = (flags & KNOWN_FLAGS) | MapFlag.SHARED | MapFlag.FIXED | MapFlag.POPULATE | locked;
  const result = yield* k.mmap.doMmap(k, mm, start * 4096, pages * 4096, vmFlags & VM_ACCESS, mapFlags, file, pgoff);
  yield* k.m.vfs.put(k, file);
  return result < 0 ? result : 0;
}

interface Found {
  readonly file: OpenFile | null;
  readonly vmFlags: number;
}

/** The file of a range that lies in shared mappings of it, side by side and alike, with a reference. */
function* look(k: Kernel, mm: Mm, start: number, pages: number): MaySleep<Found> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(start);
  let found = vma !== null && (vma.flags & VM.SHARED) !== 0 && vma.file !== null;
  for (let vpn = vma?.endVpn ?? start; found && vpn < start + pages; ) {
    const next = mm.vmaAt(vpn);
    found = next !== null && next.file === vma!.file && next.flags === vma!.flags;
    vpn = next?.endVpn ?? vpn;
  }
  const file = found ? vma!.file : null;
  if (file !== null) k.m.vfs.get(file);
  const vmFlags = vma?.flags ?? 0;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return { file, vmFlags };
}
