/**
 * The one source of everything that is not determined by the program: scheduling, address-space
 * layout, TLB eviction, allocation failures. The seeded source makes an ordinary run repeatable;
 * an explorer supplies its own and enumerates.
 */
export interface Choices {
  /** A whole number in [0, n), n at least 1. `what` names the decision for traces and replays. */
  pick(what: string, n: number): number;
}

/** xorshift32 over a seed: the choices of an ordinary run. */
export class SeededChoices implements Choices {
  private state: number;

  constructor(seed: number) {
    // Spread small seeds over the state, and keep it away from zero, which xorshift never leaves.
    this.state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0) || 0x6d2b79f5;
  }

  pick(_what: string, n: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % n;
  }
}
