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
  private readonly batches: Int32Array[];
  private readonly fill: Uint8Array;

  constructor(private readonly cpus: number) {
    this.batches = Array.from({ length: cpus * KINDS }, () => new Int32Array(FOLIO_BATCH_SIZE));
    this.fill = new Uint8Array(cpus * KINDS);
  }

  /** Adds a folio; true when the batch is full now and must be drained. */
  push(cpu: number, kind: BatchKind, folio: number): boolean {
    const i = cpu * KINDS + kind;
    this.batches[i]![this.fill[i]!++] = folio;
    return this.fill[i] === FOLIO_BATCH_SIZE;
  }

  /** Empties a batch. */
  take(cpu: number, kind: BatchKind): number[] {
    const i = cpu * KINDS + kind;
    const folios = Array.from(this.batches[i]!.subarray(0, this.fill[i]));
    this.fill[i] = 0;
    return folios;
  }

  isEmpty(cpu: number, kind: BatchKind): boolean {
    return this.fill[cpu * KINDS + kind] === 0;
  }

  /** How many batch references a folio has; for the books of the invariants. */
  references(folio: number): number {
    let n = 0;
    for (let i = 0; i < this.cpus * KINDS; i++) {
      for (let k = 0; k < this.fill[i]!; k++) if (this.batches[i]![k] === folio) n++;
    }
    return n;
  }
}
