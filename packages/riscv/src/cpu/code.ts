import { RESOLVE } from "./loop.js";

/** Halfword slots in a page; an instruction occupies the slot of its first halfword. */
export const SLOTS = 2048;

/**
 * Decoded instructions of one page frame: two int32 words a slot, see `loop.ts` for their layout.
 * Zero words mean "not decoded yet". Two more slots behind the last make the interpreter leave the
 * page when execution runs off its end, so that it need not test for that after every instruction.
 */
export type CodePage = Int32Array;

export function newCodePage(): CodePage {
  const page = new Int32Array((SLOTS + 2) * 2);
  page[SLOTS * 2] = RESOLVE;
  page[(SLOTS + 1) * 2] = RESOLVE;
  return page;
}

/**
 * Decoded code by RAM frame. What is decoded stays until someone says that the frame's contents
 * changed: a fence.i, or the kernel when it writes or reuses a frame that held code.
 */
export class CodeCache {
  /** 1 + index into `pages` for each frame of RAM, 0 when nothing of it is decoded. */
  private readonly index: Int32Array;
  private readonly pages: CodePage[] = [];
  private readonly spare: number[] = [];

  /** @param frames RAM size in 4 KiB frames */
  constructor(frames: number) {
    this.index = new Int32Array(frames);
  }

  /** The page to which code of this frame is decoded, new and empty on first use. */
  page(frame: number): CodePage {
    const held = this.index[frame] ?? 0;
    return (held > 0 ? this.pages[held - 1] : undefined) ?? this.add(frame);
  }

  invalidateFrame(frame: number): void {
    const held = this.index[frame] ?? 0;
    if (held === 0) return;
    // Emptied in place: a hart that is executing this page decodes afresh at its next instruction.
    this.pages[held - 1]?.fill(0, 0, SLOTS * 2);
    this.index[frame] = 0;
    this.spare.push(held);
  }

  invalidateAll(): void {
    for (let frame = 0, left = this.pages.length - this.spare.length; left > 0; frame++) {
      if (this.index[frame] === 0) continue;
      this.invalidateFrame(frame);
      left--;
    }
  }

  private add(frame: number): CodePage {
    const reused = this.spare.pop();
    if (reused !== undefined) {
      this.index[frame] = reused;
      const page = this.pages[reused - 1];
      if (page) return page;
    }
    const page = newCodePage();
    this.index[frame] = this.pages.push(page);
    return page;
  }
}
