type NumberArray = Uint32Array | Uint16Array | Uint8Array | Float64Array;

/** An array that grows, of numbers below 2^32 unless told. */
export class Numbers<T extends NumberArray = Uint32Array> {
  private array: T;
  length = 0;

  constructor(private readonly type: new (length: number) => T = Uint32Array as unknown as new (length: number) => T) {
    this.array = new type(64);
  }

  push(value: number): void {
    if (this.length === this.array.length) {
      const grown = new this.type(Math.ceil(this.array.length * 1.5));
      grown.set(this.array);
      this.array = grown;
    }
    this.array[this.length++] = value;
  }

  set(at: number, value: number): void {
    this.array[at] = value;
  }

  get(at: number): number {
    return this.array[at]!;
  }

  /** All of them, as large as they are. Nothing may come behind. */
  done(): T {
    const done = this.array.slice(0, this.length) as T;
    this.array = new this.type(0);
    return done;
  }
}
