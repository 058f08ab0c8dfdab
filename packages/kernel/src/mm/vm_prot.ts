import { PTE } from "../arch/pgtable.js";
import { VM } from "./mm_types.js";

/**
 * Page-table flags that a VMA's permissions stand for. Private writable memory starts without W:
 * the first write of each page faults, unless the fault that maps it is a write already.
 * On riscv, W without R is reserved, so a writable page is readable too.
 */
export function vmPageProt(vmFlags: number): number {
  if ((vmFlags & (VM.READ | VM.WRITE | VM.EXEC)) === 0) return PTE.PROT_NONE | PTE.U | PTE.A;
  let pte = PTE.V | PTE.U | PTE.A;
  if ((vmFlags & (VM.READ | VM.WRITE)) !== 0) pte |= PTE.R;
  if ((vmFlags & VM.EXEC) !== 0) pte |= PTE.X;
  // Shared memory of which writes are tracked starts without W, too: see `needsSoftDirtyWp`; or told to a userfaultfd.
  const writable = VM.WRITE | VM.SHARED;
  if ((vmFlags & (writable | VM.UFFD_WP)) === writable && !tracksWrites(vmFlags)) pte |= PTE.W;
  return pte;
}

/**
 * Whether an entry must not be made writable but by a write fault, which is what marks it soft-dirty:
 * writes to its VMA are tracked, as they are unless all of it counts as written to already.
 */
export function needsSoftDirtyWp(vmFlags: number, pteFlags: number): boolean {
  return tracksWrites(vmFlags) && (pteFlags & PTE.SOFT_DIRTY) === 0;
}

/** hugetlb never does. */
function tracksWrites(vmFlags: number): boolean {
  return (vmFlags & (VM.SOFTDIRTY | VM.HUGETLB)) === 0;
}

/** Adds W where the VMA may be written. */
export function maybeMkwrite(pteFlags: number, vmFlags: number): number {
  return (vmFlags & VM.WRITE) !== 0 ? pteFlags | PTE.W : pteFlags;
}
