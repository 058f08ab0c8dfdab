import type { Mempolicy } from "./mempolicy.js";

interface PolicyRange {
  readonly start: number;
  readonly end: number;
  readonly policy: Mempolicy;
}

/** The policies of a file in memory, by ranges of its pages (struct shared_policy): whoever maps it has them. */
export class SharedPolicy {
  /** Sorted, and never overlapping. */
  private ranges: readonly PolicyRange[] = [];

  /** The policy of a page, by its index; null for that of the task. */
  lookup(index: number): Mempolicy | null {
    for (const { start, end, policy } of this.ranges) if (start <= index && index < end) return policy;
    return null;
  }

  /** Gives pages [start, end) another policy, or (null) none. */
  set(start: number, end: number, policy: Mempolicy | null): void {
    const kept = this.ranges.flatMap((range): PolicyRange[] => [
      { ...range, end: Math.min(range.end, start) },
      { ...range, start: Math.max(range.start, end) },
    ]);
    if (policy !== null) kept.push({ start, end, policy });
    this.ranges = kept.filter((range) => range.start < range.end).sort((a, b) => a.start - b.start);
  }
}
