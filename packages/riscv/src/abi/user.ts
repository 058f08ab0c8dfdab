import { Errno, NSEC_PER_SEC, PAGE_SIZE, PTE, type Kernel, type MaySleep, type Mm } from "@faultline/kernel";

/** Reads `length` bytes of the current task's memory; null for a bad address. */
export function* readUser(k: Kernel, address: number, length: number): MaySleep<Uint8Array | null> {
  const bytes = new Uint8Array(length);
  return length > 0 && (yield* k.uaccess.copyFromUser(k, address, bytes)) !== 0 ? null : bytes;
}

/** As `readUser`, for structures. */
export function* readStruct(k: Kernel, address: number, length: number): MaySleep<DataView | null> {
  const bytes = yield* readUser(k, address, length);
  return bytes === null ? null : new DataView(bytes.buffer);
}

export function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

export function getI64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

/** A struct timespec in nanoseconds; null for one that is negative, or has too many (timespec64_valid()). */
export function timespecAt(view: DataView, at: number): number | null {
  const seconds = getI64(view, at);
  const ns = getI64(view, at + 8);
  return seconds < 0 || ns < 0 || ns >= NSEC_PER_SEC ? null : seconds * NSEC_PER_SEC + ns;
}

/** A struct timespec of the current task's in nanoseconds, or a negated errno: -EFAULT, -EINVAL. */
export function* readTimespec(k: Kernel, address: number): MaySleep<number> {
  const view = yield* readStruct(k, address, 16);
  return view === null ? -Errno.EFAULT : (timespecAt(view, 0) ?? -Errno.EINVAL);
}

/** Stores a safe integer, signed or not. */
export function setI64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / 2 ** 32) | 0, true);
}

export function structBytes(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/**
 * Reads memory without touching the machine: no fault, no point. For showing it (strace), never
 * for deciding. Null where a page is not present.
 */
export function peekUser(k: Kernel, mm: Mm, address: number, length: number): Uint8Array | null {
  const { m } = k;
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const at = address + done;
    if (at < 0 || at >= 2 ** 38) return null;
    const ptep = m.pt.find(mm.pgd, Math.floor(at / PAGE_SIZE));
    if (ptep < 0 || (m.pt.flags(ptep) & PTE.V) === 0) return null;
    const page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, Math.floor(at / PAGE_SIZE)));
    if (page < 0) return null;
    const offset = at % PAGE_SIZE;
    const n = Math.min(length - done, PAGE_SIZE - offset);
    bytes.set(m.ram.frame(page).subarray(offset, offset + n), done);
    done += n;
  }
  return bytes;
}

/** Bytes up to a NUL, page by page; null where a page is not present. */
export function peekString(k: Kernel, mm: Mm, address: number, max: number): Uint8Array | null {
  const parts: number[] = [];
  for (let at = address; parts.length < max; ) {
    const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), max - parts.length);
    const bytes = peekUser(k, mm, at, n);
    if (bytes === null) return null;
    const end = bytes.indexOf(0);
    parts.push(...bytes.subarray(0, end < 0 ? n : end));
    if (end >= 0) break;
    at += n;
  }
  return Uint8Array.from(parts);
}

/** The bytes of a byte string. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Text as a byte string, which is what the kernel's own strings are: its UTF-8, a character for each byte. */
export function byteString(text: string): string {
  return Array.from(encodeText(text), (byte) => String.fromCharCode(byte)).join("");
}

/** Text as UTF-8. The engine runs in browsers too, where this is the same class. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
