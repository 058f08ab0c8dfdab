export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;

/**
 * The contents of RAM frames, and the only way to reach them. The host commits memory when it is
 * first touched, so a large machine costs what its guests use.
 */
export class FrameMemory {
  readonly memory: WebAssembly.Memory;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;
  readonly frames: number;

  /** @param frames 1 to 2^20 (4 GiB). */
  constructor(frames: number) {
    this.frames = frames;
    const hostPages = Math.ceil(frames / 16);
    this.memory = new WebAssembly.Memory({ initial: hostPages, maximum: hostPages });
    this.buffer = this.memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Int32Array(this.buffer);
    this.view = new DataView(this.buffer);
  }

  clear(frame: number): void {
    this.bytes.fill(0, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE);
  }

  isZero(frame: number): boolean {
    for (let i = frame << 10; i < (frame + 1) << 10; i++) if (this.words[i] !== 0) return false;
    return true;
  }

  /** Which of two frames comes first by its contents: negative, 0 where they have the same, or positive. */
  compare(a: number, b: number): number {
    const { words } = this;
    for (let i = a << 10, j = b << 10, end = (a + 1) << 10; i < end; i++, j++) {
      if (words[i] !== words[j]) return words[i]! - words[j]!;
    }
    return 0;
  }

  /** Of all that a frame has. */
  checksum(frame: number): number {
    let sum = 0x811c9dc5;
    for (let i = frame << 10; i < (frame + 1) << 10; i++) sum = Math.imul(sum ^ this.words[i]!, 0x01000193) ^ (sum >>> 15);
    return sum;
  }

  copy(to: number, from: number): void {
    this.words.copyWithin(to << 10, from << 10, (from + 1) << 10);
  }

  /** Copies bytes, by their addresses, one after the other: where they overlap and `to` lies ahead, what was written is read again. */
  copyForward(to: number, from: number, length: number): void {
    const period = to - from;
    if (period <= 0 || period >= length) this.bytes.copyWithin(to, from, from + length);
    else for (let done = 0; done < length; done += period) this.bytes.copyWithin(to + done, from, from + Math.min(period, length - done));
  }

  /** The bytes of one frame, as a live view. */
  frame(frame: number): Uint8Array {
    return this.bytes.subarray(frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE);
  }
}
