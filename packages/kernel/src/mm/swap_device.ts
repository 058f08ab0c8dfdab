import { SpinLock } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import { NO_PAGE } from "./page.js";
import { PAGE_SIZE } from "./frame_memory.js";

const CHUNK_SLOTS = 16384;

/** Contents of slots, to go back to. */
export type SavedSlots = readonly { readonly slot: number; readonly words: Int32Array }[];

/**
 * One swap device with its map and its part of the swap cache (the swap table of newer kernels:
 * one entry a slot). Slot 0 holds the header, as on disk, and is never handed out.
 */
export class SwapDevice {
  readonly lock: SpinLock;
  readonly slots: number;
  /** How many page-table entries refer to a slot. */
  readonly count: Uint8Array;
  /** The folio that the swap cache holds for a slot, or NO_PAGE. */
  readonly cache: Int32Array;
  /** memcg that a slot is charged to. */
  readonly memcg: Uint16Array;
  private readonly chunks: (Int32Array | undefined)[];
  /** Slots whose page repeats one word: most often zeros. They take no host memory. */
  private readonly uniform = new Map<number, number>();
  /** Slots taken, header not counted. */
  used = 0;
  private next = 1;
  /** Readahead: faults that hit what was read ahead, and where the last window was. */
  raHits = 4;
  raPrevOffset = 0;
  raPrevWindow = 0;

  constructor(m: Machine, slots: number) {
    this.lock = new SpinLock(m.locks, "swap");
    this.slots = slots;
    this.count = new Uint8Array(slots);
    this.cache = new Int32Array(slots).fill(NO_PAGE);
    this.memcg = new Uint16Array(slots);
    this.chunks = new Array<Int32Array | undefined>(Math.ceil(slots / CHUNK_SLOTS));
  }

  /** Slots that can be used. */
  get total(): number {
    return this.slots === 0 ? 0 : this.slots - 1;
  }

  /** Where the next search for a free slot starts. */
  get nextSlot(): number {
    return this.next;
  }

  get free(): number {
    return this.total - this.used;
  }

  /** Takes 2^order adjacent free slots, aligned to their number; the first, or -1 when there are none. */
  allocateCluster(order: number): number {
    const n = 1 << order;
    for (let first = n; first + n <= this.slots; first += n) {
      let i = 0;
      while (i < n && this.count[first + i] === 0 && this.cache[first + i] === NO_PAGE) i++;
      if (i < n) continue;
      this.used += n;
      return first;
    }
    return -1;
  }

  /** Takes a free slot, in ascending order as clusters are filled; -1 when there is none. */
  allocate(): number {
    if (this.free === 0) return -1;
    for (let i = 0; i < this.slots; i++) {
      let offset = this.next + i;
      if (offset >= this.slots) offset = offset - this.slots + 1;
      if (offset < this.slots && this.count[offset] === 0 && this.cache[offset] === NO_PAGE) {
        this.next = offset + 1 >= this.slots ? 1 : offset + 1;
        this.used++;
        return offset;
      }
    }
    return -1;
  }

  /** Gives a slot back once neither entries nor the cache refer to it. */
  release(offset: number): void {
    this.used--;
    this.memcg[offset] = 0;
  }

  /** Stores a frame. `words` is RAM, `frame` its frame number. */
  write(offset: number, words: Int32Array, frame: number): void {
    const first = words[frame << 10]!;
    let same = 1;
    while (same < 1024 && words[(frame << 10) + same] === first) same++;
    if (same === 1024) {
      this.uniform.set(offset, first);
      return;
    }
    this.uniform.delete(offset);
    const chunk = (this.chunks[Math.floor(offset / CHUNK_SLOTS)] ??= new Int32Array((Math.min(CHUNK_SLOTS, this.slots) * PAGE_SIZE) / 4));
    chunk.set(words.subarray(frame << 10, (frame + 1) << 10), (offset % CHUNK_SLOTS) << 10);
  }

  /** What the slots in use contain, but for those that repeat one word. */
  saveContents(): SavedSlots {
    const saved: { slot: number; words: Int32Array }[] = [];
    for (let slot = 1; slot < this.slots; slot++) {
      const chunk = this.chunks[Math.floor(slot / CHUNK_SLOTS)];
      if (chunk === undefined || this.uniform.has(slot) || (this.count[slot] === 0 && this.cache[slot] === NO_PAGE)) continue;
      const start = (slot % CHUNK_SLOTS) << 10;
      saved.push({ slot, words: chunk.slice(start, start + 1024) });
    }
    return saved;
  }

  /** Once all else is as it was then. */
  restoreContents(saved: SavedSlots): void {
    for (const { slot, words } of saved) this.chunks[Math.floor(slot / CHUNK_SLOTS)]!.set(words, (slot % CHUNK_SLOTS) << 10);
  }

  /** What a slot holds: one word if all are the same. */
  wordsOf(offset: number): ArrayLike<number> & Iterable<number> {
    const same = this.uniform.get(offset);
    if (same !== undefined) return [same];
    const start = (offset % CHUNK_SLOTS) << 10;
    return this.chunks[Math.floor(offset / CHUNK_SLOTS)]?.subarray(start, start + 1024) ?? [0];
  }

  read(offset: number, words: Int32Array, frame: number): void {
    const same = this.uniform.get(offset);
    if (same !== undefined) {
      words.fill(same, frame << 10, (frame + 1) << 10);
      return;
    }
    const chunk = this.chunks[Math.floor(offset / CHUNK_SLOTS)];
    const start = (offset % CHUNK_SLOTS) << 10;
    if (chunk === undefined) words.fill(0, frame << 10, (frame + 1) << 10);
    else words.set(chunk.subarray(start, start + 1024), frame << 10);
  }
}
