/** Newer kernels batch 31 folios; a folio in a batch holds a reference. */
export const FOLIO_BATCH_SIZE = 31;

export enum BatchKind {
  lruAdd,
  activate,
  deactivate,
  lazyfree,
}

/** What an entry of a CPU's mlock batch asks for. */
export enum MlockBatch {
  /** The folio may be on a list: one more locked VMA maps it. */
  Lock,
  /** A new folio, on no list yet. */
  LockNew,
  /** One locked VMA less maps it. */
  Unlock,
}

const KINDS = 4;

/**
 * Per-CPU folio batches: folios on their way to an LRU list. Until their CPU drains them they are
 * on no list, and hold one reference more than the page tables account for. They show in Linux's
 * numbers, and make folios briefly impossible to isolate.
 */
export class FolioBatches {
  private readonly batches: number[][];
  /** For each CPU: folios that VMAs have locked or unlocked, in order, each as 4 × folio + MlockBatch. */
  private readonly mlock: number[][];
  /** How many want every folio on its list at once: batches are then drained after each. */
  disabled = 0;

  constructor(cpus: number) {
    this.batches = Array.from({ length: cpus * KINDS }, () => []);
    this.mlock = Array.from({ length: cpus }, () => []);
  }

  /**
   * Adds a folio; true when the batch must be drained: it is full, or none is to be kept. It may
   * get longer than that: a device's driver shares CPU 0's batches, and may come between a full
   * batch and its draining.
   */
  push(cpu: number, kind: BatchKind, folio: number): boolean {
    return this.batches[cpu * KINDS + kind]!.push(folio) >= FOLIO_BATCH_SIZE || this.disabled > 0;
  }

  /** Empties a batch. */
  take(cpu: number, kind: BatchKind): number[] {
    return this.batches[cpu * KINDS + kind]!.splice(0);
  }

  isEmpty(cpu: number, kind: BatchKind): boolean {
    return this.batches[cpu * KINDS + kind]!.length === 0;
  }

  /** Adds a folio to the mlock batch; true when that must be drained. */
  pushMlock(cpu: number, folio: number, what: MlockBatch): boolean {
    return this.mlock[cpu]!.push(folio * 4 + what) >= FOLIO_BATCH_SIZE || this.disabled > 0;
  }

  /** Empties the mlock batch. */
  takeMlock(cpu: number): { readonly folio: number; readonly what: MlockBatch }[] {
    return this.mlock[cpu]!.splice(0).map((entry) => ({ folio: entry >> 2, what: entry & 3 }));
  }

  mlockIsEmpty(cpu: number): boolean {
    return this.mlock[cpu]!.length === 0;
  }

  /** The batches of a CPU, by kind, and its mlock batch as numbers that say folio and order. */
  of(cpu: number): readonly (readonly number[])[] {
    return [...this.batches.slice(cpu * KINDS, (cpu + 1) * KINDS), this.mlock[cpu]!];
  }

  /** How many batch references a folio has; for the books of the invariants. */
  references(folio: number): number {
    let n = 0;
    for (const batch of this.batches) for (const other of batch) if (other === folio) n++;
    for (const batch of this.mlock) for (const entry of batch) if (entry >> 2 === folio) n++;
    return n;
  }
}
