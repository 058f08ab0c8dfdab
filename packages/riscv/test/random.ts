/** A small seeded generator (xorshift32), so that a failing test can be run again. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2654435761) >>> 0 || 1;
  }

  /** A 32-bit integer, unsigned. */
  word(): number {
    let s = this.state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.state = s >>> 0;
    return this.state;
  }

  /** 0 to end - 1. */
  below(end: number): number {
    return this.word() % end;
  }

  /** first to last. */
  range(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  u64(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
}
