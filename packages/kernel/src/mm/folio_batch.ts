/** Newer kernels batch 31 folios; a folio in a batch holds a reference. */
export const FOLIO_BATCH_SIZE = 31;

export enum BatchKind {
  lruAdd,
  activate,
  deactivate,
  lazyfree,
}

const KINDS = 4;

/**
 * Per-CPU folio batches: folios on their way to an LRU list. Until their CPU drains them they are
 * on no list, and hold one reference more than the page tables account for. They show in Linux's
 * numbers, and make folios briefly impossible to isolate.
 */
export class FolioBatches {
  private readonly batches: number[][];
  /** How many want every folio on its list at once: batches are then drained after each. */
  disabled = 0;

  constructor(cpus: number) {
    this.batches = Array.from({ length: cpus * KINDS }, () => []);
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

  /** The batches of a CPU, by kind. */
  of(cpu: number): readonly (readonly number[])[] {
    return this.batches.slice(cpu * KINDS, (cpu + 1) * KINDS);
  }

  /** How many batch references a folio has; for the books of the invariants. */
  references(folio: number): number {
    let n = 0;
    for (const batch of this.batches) for (const other of batch) if (other === folio) n++;
    return n;
  }
}
