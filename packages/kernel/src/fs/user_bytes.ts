/** A range of the current address space that a file is read into, or written from. */
export class UserBytes {
  constructor(
    readonly address: number,
    readonly length: number,
  ) {}

  subarray(start: number, end = this.length): UserBytes {
    return new UserBytes(this.address + start, end - start);
  }
}
