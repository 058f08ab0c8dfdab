/**
 * @linux mm/huge_memory.c
 * @own clearMigrationPmd, copyMigrationPmd, fillMigrationTable, isMigrationPmd, setMigrationPmd
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { VM, type Vma } from "./mm_types.js";
import { PG } from "./page.js";
import { trapped } from "./uffd_rwp.js";

/*
 * Migration entries that stand for 2 MiB (ARCH_ENABLE_THP_MIGRATION, on riscv since 7.0): a folio that
 * one entry maps is moved, and mapped by one entry again. As those for single pages they have neither map count nor
 * reference, and RSS counts them. The table set aside for a split stays.
 */

/** Whether an entry is one for 2 MiB on their way to another frame. */
export function isMigrationPmd(k: Kernel, pmd: number): boolean {
  return k.m.pt.isLeaf(pmd) && k.swapops.isMigration(k, k.m.pt.flags(pmd));
}

/** Under its lock: a huge entry becomes a migration entry; the caller notifies. False, and nothing done, where somebody has pinned the folio. */
export function* setMigrationPmd(k: Kernel, vma: Vma, start: number, folio: number, pmd: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const flags = yield* k.hugeMemory.pmdInvalidate(k, vma, start, pmd);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if ((flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
  const entry = k.swapops.makeMigration(k, flags, memmap.has(folio, PG.anonExclusive));
  if (!(yield* k.rmap.tryShareAnonRmap(k, folio, folio))) {
    yield* k.memory.setPteAt(k, vma.mm, start, pmd, flags, memmap.pageToPfn(folio));
    return false;
  }
  yield* k.memory.setPteAt(k, vma.mm, start, pmd, entry, memmap.pageToPfn(folio));
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  k.rmap.dropPmdMapping(k, folio, vma);
  if ((vma.flags & VM.LOCKED) !== 0) yield* k.mlockFolio.munlockVmaFolio(k, folio, vma);
  yield* k.swap.folioPutUnowned(k, folio);
  return true;
}

/** Under its lock: a migration entry becomes one that maps `dst`, a locked folio. */
export function* removeMigrationPmd(k: Kernel, vma: Vma, start: number, dst: number, pmd: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const old = m.pt.flags(pmd);
  const flags = k.rmap.migratedPte(k, vma, dst, old);
  yield* k.swap.folioGetUnowned(k, dst);
  if (memmap.isAnon(dst)) yield* k.rmap.folioAddAnonRmapPmd(k, dst, vma, start, !k.swapops.isReadableMigration(k, old));
  else yield* k.rmap.folioAddFileRmapPmd(k, dst, vma);
  yield* k.memory.setPteAt(k, vma.mm, start, pmd, trapped(vma, flags), memmap.pageToPfn(dst));
}

/** Writes entries for single pages into a table that nobody can find yet, in place of one for all. */
export function fillMigrationTable(k: Kernel, start: number, pmd: number, node: number): void {
  const { m } = k;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const ptep = node * PTRS_PER_TABLE + i;
    m.touches(Op.PteWrite, ptep);
    m.pt.set(ptep, m.pt.flags(pmd), m.pt.pfn(pmd) + i);
    m.sink?.emit(Event.SetPte, ptep, m.pt.flags(ptep), m.pt.pfn(ptep), start + i);
  }
}

/** A migration entry goes: who moves the folio finds one less. */
export function* clearMigrationPmd(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<void> {
  const { m } = k;
  const folio = m.memmap.pfnToPage(m.pt.pfn(pmd));
  m.touches(Op.TableWrite, tableObject(vma.mm.id, start));
  m.pt.clear(pmd);
  m.sink?.emit(Event.SetPte, pmd, 0, 0, start);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  vma.mm.addRss(k.rmap.rssKind(k, folio), -HPAGE_PMD_NR);
}

/** A child gets the migration entry of its parent; neither has the folio alone. Both locked. */
export function* copyMigrationPmd(k: Kernel, dst: Vma, src: Vma, start: number, to: number, from: number): Atomic<void> {
  const { m } = k;
  const flags = m.pt.flags(from);
  const pfn = m.pt.pfn(from);
  const copy = k.swapops.makeReadableMigration(k, flags);
  if (copy !== flags) yield* k.memory.setPteAt(k, src.mm, start, from, copy, pfn);
  dst.mm.addRss(k.rmap.rssKind(k, m.memmap.pfnToPage(pfn)), HPAGE_PMD_NR);
  yield* k.memory.setPteAt(k, dst.mm, start, to, k.copyRange.childPte(k, dst, src, copy, pfn), pfn);
}
