import { PTE, PTRS_PER_TABLE } from "@faultline/kernel";
import type { MmState } from "@faultline/trace";

/** Gets each entry: its number, its level (0 is the last), the page that it is for, and its words. */
export type LookAtEntry = (entry: number, level: number, vpn: number, flags: number, pfn: number) => void;

/** Gives every entry of an address space that is not none, but for those that lead to tables. A table that hangs in two places is seen once. */
export function everyEntry(words: Uint32Array, root: number, look: LookAtEntry): void {
  const seen = new Set<number>();
  const visit = (node: number, level: number, first: number): void => {
    const begin = node * PTRS_PER_TABLE;
    if (node < 0 || seen.has(node) || (begin + PTRS_PER_TABLE) * 2 > words.length) return;
    seen.add(node);
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const entry = begin + i;
      const flags = words[entry * 2 + 1]!;
      if (flags === 0) continue;
      const pfn = words[entry * 2]!;
      const vpn = first + i * 2 ** (9 * level);
      if (level > 0 && flags === PTE.V) visit(pfn, level - 1, vpn);
      else look(entry, level, vpn, flags, pfn);
    }
  };
  visit(root, 2, 0);
}

/** Which address space each table belongs to, where that is known, its level and the page of its first entry. */
export function tablesOf(words: Uint32Array, mms: readonly MmState[]): Map<number, TableOf> {
  const found = new Map<number, TableOf>();
  const visit = (mm: number, node: number, level: number, first: number): void => {
    const begin = node * PTRS_PER_TABLE;
    if (node < 0 || found.has(node) || (begin + PTRS_PER_TABLE) * 2 > words.length) return;
    found.set(node, { mm, level, first });
    if (level === 0) return;
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const entry = (begin + i) * 2;
      if (words[entry + 1] === PTE.V) visit(mm, words[entry]!, level - 1, first + i * 2 ** (9 * level));
    }
  };
  for (const { id, pgd } of mms) visit(id, pgd, 2, 0);
  return found;
}

export interface TableOf {
  readonly mm: number;
  readonly level: number;
  readonly first: number;
}
