import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import type { SpinLock } from "../kernel/locks.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { ptePresent } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";

/** Where a VMA maps a page of a folio. `ptl` is held; the caller unlocks it. */
export interface Mapping {
  readonly ptep: number;
  readonly page: number;
  readonly ptl: SpinLock;
}

/**
 * Finds the entry of a VMA that maps the folio at `vpn`: an ordinary one, or a device-exclusive
 * one, which counts as a mapping like any other. Null when there is none.
 */
export function* findMapping(k: Kernel, folio: number, vma: Vma, vpn: number): Atomic<Mapping | null> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const ptep = m.pt.lookup(vma.mm.pgd, vpn);
  if (ptep < 0) return null;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  if (ptePresent(flags) || k.swapops.isDeviceExclusive(k, flags)) {
    const page = m.memmap.pfnToPage(m.pt.pfn(ptep));
    if (page >= 0 && m.memmap.folioOf(page) === folio) return { ptep, page, ptl };
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return null;
}
