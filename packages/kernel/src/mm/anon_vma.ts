import { RwSem } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import type { Vma } from "./mm_types.js";

/**
 * What an anonymous folio's `mapping` leads to: the VMAs that may map it. Splitting a VMA puts
 * both halves here, so a reverse walk checks each one's range.
 */
export class AnonVma {
  readonly vmas = new Set<Vma>();
  readonly lock: RwSem;

  constructor(
    m: Machine,
    readonly id: number,
  ) {
    this.lock = new RwSem(m.locks, "anon_vma");
  }
}

/** All anon_vmas of a machine, by id. */
export class AnonVmas {
  private readonly byId = new Map<number, AnonVma>();
  private nextId = 1;
  private nextVmaId = 1;

  constructor(private readonly m: Machine) {}

  create(): AnonVma {
    const anonVma = new AnonVma(this.m, this.nextId++);
    this.byId.set(anonVma.id, anonVma);
    return anonVma;
  }

  /** A number for `Vma.anonId`. */
  newId(): number {
    return this.nextVmaId++;
  }

  get(id: number): AnonVma | undefined {
    return this.byId.get(id);
  }

  /** Forgets one that no VMA has. */
  drop(anonVma: AnonVma): void {
    this.byId.delete(anonVma.id);
  }

  unlink(vma: Vma): void {
    const { anonVma } = vma;
    if (anonVma === null) return;
    vma.anonVma = null;
    anonVma.vmas.delete(vma);
    // A folio that outlives its VMAs (in the swap cache, say) then walks to nobody.
    if (anonVma.vmas.size === 0) this.drop(anonVma);
  }
}
