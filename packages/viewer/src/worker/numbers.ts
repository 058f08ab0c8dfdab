/** Numbers below 2^32, as many as come. */
export class Numbers {
  private array = new Uint32Array(64);
  length = 0;

  push(value: number): void {
    if (this.length === this.array.length) {
      const grown = new Uint32Array(this.array.length * 2);
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

  done(): Uint32Array {
    return this.array.slice(0, this.length);
  }
}
