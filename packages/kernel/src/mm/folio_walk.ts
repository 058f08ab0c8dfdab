/**
 * @linux mm/pagewalk.c
 * @omits `walk_page_range()` and its callbacks are not there: every walker has a loop of its own. This is
 *   `folio_walk_start()`.
 * @omits Entries above PMDs.
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import type { SpinLock } from "../kernel/locks.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";

/** What is mapped at an address, for as long as the lock of its entry is held. */
export interface FolioWalk {
  readonly folio: number;
  readonly page: number;
  /** Of whichever level. */
  readonly entry: number;
  readonly flags: number;
  readonly ptl: SpinLock;
}

export interface FolioWalkFlags {
  /** The pages of zeros count as well (FW_ZEROPAGE). */
  readonly zeropage: boolean;
}

/**
 * Looks up what a VMA maps at an address (folio_walk_start()): null, and nothing held, where that is no page. The walk ends with
 * `folioWalkEnd`. mmap_lock or the VMA's is held.
 */
export function* folioWalkStart(k: Kernel, vma: Vma, vpn: number, want: FolioWalkFlags): Atomic<FolioWalk | null> {
  const { m } = k;
  const { memmap, pt } = m;
  for (;;) {
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const entry = pt.find(vma.mm.pgd, vpn);
    if (entry < 0) return null;
    const ptl = pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    const flags = pt.flags(entry);
    const page = memmap.pfnToPage(pt.pfnFor(entry, vpn));
    if (ptePresent(flags) && flags !== PTE.V && (want.zeropage || (flags & PTE.SPECIAL) === 0)) return { folio: memmap.folioOf(page), page, entry, flags, ptl };
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    // Split while its lock was waited for.
    if (flags !== PTE.V) return null;
    if (m.retries.again("folio_walk")) yield SWITCH;
  }
}

export function* folioWalkEnd(_k: Kernel, { ptl }: FolioWalk): Atomic<void> {
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}
