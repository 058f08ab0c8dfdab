import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { sleepUntil } from "../kernel/time.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { FollFlag } from "../mm/gup_flags.js";

/** What a transfer takes besides the pinning: a good SSD. */
const LATENCY_NS = 15_000;
/** Pages that one transfer pins at once. */
const PAGES_MAX = 256;

/**
 * read(2) with O_DIRECT: pins pages of the current address space, has the device write to them, and lets them go. Bytes
 * that were read, at most 1 MiB; -EFAULT where the first page cannot be had for writing. `fill` is the device: it writes what the
 * file has from `pos` on, as far as there is something, and says how much.
 */
export function* directRead(k: Kernel, addr: number, length: number, pos: number, fill: (into: Uint8Array, pos: number) => number): MaySleep<number> {
  const { m } = k;
  const first = Math.floor(addr / PAGE_SIZE);
  const wanted = Math.min(PAGES_MAX, Math.ceil((addr + length) / PAGE_SIZE) - first);
  const pages: number[] = [];
  while (pages.length < wanted) {
    const page = yield* k.gupPin.pinUserPageFast(k, first + pages.length, FollFlag.WRITE, "direct_io");
    if (page < 0) break;
    pages.push(page);
  }
  if (pages.length === 0) return -Errno.EFAULT;
  yield* sleepUntil(k, m.now() + LATENCY_NS, "direct_io");
  const end = Math.min(addr + length, (first + pages.length) * PAGE_SIZE);
  let done = 0;
  for (const [i, page] of pages.entries()) {
    const from = i === 0 ? addr % PAGE_SIZE : 0;
    const n = Math.min(PAGE_SIZE, end - (first + i) * PAGE_SIZE) - from;
    if (m.point(Op.FrameWrite, page)) yield SWITCH;
    const got = fill(m.ram.frame(page).subarray(from, from + n), pos + done);
    done += got;
    yield* k.gupPin.unpinUserPage(k, page, got > 0, "direct_io");
  }
  return done;
}
