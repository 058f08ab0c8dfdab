import { Errno, MapFlag, PAGE_SIZE, Prot, USER_VPN_END, type Kernel, type MaySleep, type Mm, type OpenFile } from "@faultline/kernel";
import type { ElfImage, ElfSegment } from "../elf/load.js";
import type { Executable } from "./executable.js";

/** Addresses of programs end here, in bytes. */
export const USER_END = USER_VPN_END * PAGE_SIZE;

export function pageDown(address: number): number {
  return Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
}

export function pageUp(address: number): number {
  return Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
}

/** What was added to the addresses of a file that is mapped. */
export interface Mapped {
  readonly bias: number;
}

/** The largest alignment that segments ask for, in bytes; what is no power of two asks for nothing. */
function alignmentOf({ segments }: ElfImage): number {
  return segments.reduce((most, { align }) => (Number.isInteger(Math.log2(align)) ? Math.max(most, align) : most), PAGE_SIZE);
}

/** The pages that segments lie in: the first one's address, and how many there are, holes among them. */
function spanOf({ segments }: ElfImage): { readonly start: number; readonly pages: number } {
  const start = Math.min(...segments.map(({ vaddr }) => pageDown(vaddr)));
  const end = Math.max(...segments.map(({ vaddr, memsz }) => pageUp(vaddr + memsz)));
  return { start, pages: (end - start) / PAGE_SIZE };
}

/**
 * Maps the segments of a file as Linux does: each a private mapping of the file, the rest of its last page zeroed if it
 * has more in memory than in the file, and anonymous memory behind. What may lie anywhere goes to `base` (bytes), rounded
 * down as it wants to be aligned, or with null to where there is room. With `populate` the pages of the file come in at
 * once, writable ones as by a write. With `replace` what has addresses of its own may lie over what is mapped. Returns a
 * negated errno where something cannot be mapped.
 */
export function* mapElf(k: Kernel, mm: Mm, { file, image }: Executable, base: number | null, populate: boolean, replace = false): MaySleep<Mapped | number> {
  if (image.type === "other") return -Errno.ENOEXEC;
  if (image.segments.length === 0) return { bias: 0 };
  const bias = image.type === "exec" ? 0 : placeOf(k, mm, image, base);
  if (bias === null) return -Errno.ENOMEM;
  for (const [i, segment] of image.segments.entries()) {
    const flags = MapFlag.PRIVATE | (i === 0 && !replace ? MapFlag.FIXED_NOREPLACE : MapFlag.FIXED) | (populate ? MapFlag.POPULATE : 0);
    const error = yield* mapSegment(k, mm, file, segment, bias, flags);
    if (error < 0) return error;
  }
  return { bias };
}

/** The load bias of what may lie anywhere; null where it has no room. */
function placeOf(k: Kernel, mm: Mm, image: ElfImage, base: number | null): number | null {
  const { start, pages } = spanOf(image);
  if (!(pages > 0 && start < USER_END)) return null;
  const align = alignmentOf(image);
  if (base !== null) return Math.floor(base / align) * align - pageDown(image.segments[0]!.vaddr);
  const vpn = align === PAGE_SIZE ? k.mmap.getUnmappedArea(k, mm, 0, pages) : k.mmap.getUnmappedAlignedArea(k, mm, 0, pages, align / PAGE_SIZE);
  return vpn < 0 ? null : vpn * PAGE_SIZE - pageDown(image.segments[0]!.vaddr);
}

function protOf(segment: ElfSegment): number {
  return (segment.read ? Prot.READ : 0) | (segment.write ? Prot.WRITE : 0) | (segment.exec ? Prot.EXEC : 0);
}

/** 0 or more, or a negated errno. */
function* mapSegment(k: Kernel, mm: Mm, file: OpenFile, segment: ElfSegment, bias: number, flags: number): MaySleep<number> {
  const { vaddr, offset, filesz, memsz } = segment;
  // No sum of these may come out as an address that it is not.
  if (vaddr > USER_END || filesz > memsz || memsz > USER_END - vaddr) return -Errno.EINVAL;
  const start = bias + vaddr;
  const lead = start - pageDown(start);
  let zeroFrom = pageDown(start);
  if (filesz > 0) {
    if ((offset - lead) % PAGE_SIZE !== 0) return -Errno.EINVAL;
    const error = yield* k.mmap.doMmap(k, mm, start - lead, lead + filesz, protOf(segment), flags, file, (offset - lead) / PAGE_SIZE);
    if (error < 0) return error;
    zeroFrom = start + filesz;
  }
  if (memsz <= filesz) return 0;
  if (zeroFrom < pageUp(zeroFrom)) {
    const error = yield* k.uaccess.copyToUser(k, zeroFrom, new Uint8Array(pageUp(zeroFrom) - zeroFrom));
    // What cannot be written keeps what the file has there.
    if (error < 0 && segment.write) return error;
  }
  const end = pageUp(start + memsz);
  zeroFrom = pageUp(zeroFrom);
  // It is written whatever the segment says.
  const prot = Prot.READ | Prot.WRITE | (segment.exec ? Prot.EXEC : 0);
  return end > zeroFrom ? yield* k.mmap.doMmap(k, mm, zeroFrom, end - zeroFrom, prot, MapFlag.PRIVATE | MapFlag.FIXED | MapFlag.ANONYMOUS, null, 0) : 0;
}
