/** Writes ELF files, right ones and wrong ones, without an assembler. */

export interface SegmentSpec {
  readonly vaddr: number;
  readonly bytes: Uint8Array;
  /** Size in memory; that of the bytes unless told. */
  readonly memsz?: number;
  /** PF_R 4, PF_W 2, PF_X 1. */
  readonly flags: number;
  readonly type?: number;
}

export interface ElfSpec {
  readonly entry: number;
  readonly segments: readonly SegmentSpec[];
  /** ET_EXEC unless told. */
  readonly type?: number;
  /** EM_RISCV unless told. */
  readonly machine?: number;
}

/** Segments stand in the file one after another, each congruent to its address modulo the page size. */
export function writeElf({ entry, segments, type = 2, machine = 243 }: ElfSpec): Uint8Array {
  const headers = 64 + segments.length * 56;
  const offsets: number[] = [];
  let end = headers;
  for (const one of segments) {
    const offset = end + ((((one.vaddr - end) % 4096) + 4096) % 4096);
    offsets.push(offset);
    end = offset + one.bytes.length;
  }
  const file = new Uint8Array(end);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  u64(24, entry);
  u64(32, 64);
  view.setUint32(48, 5, true); // RVC, double-float ABI
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  segments.forEach((one, index) => {
    const at = 64 + index * 56;
    const offset = offsets[index] ?? 0;
    view.setUint32(at, one.type ?? 1, true);
    view.setUint32(at + 4, one.flags, true);
    u64(at + 8, offset);
    u64(at + 16, one.vaddr);
    u64(at + 24, one.vaddr);
    u64(at + 32, one.bytes.length);
    u64(at + 40, one.memsz ?? one.bytes.length);
    u64(at + 48, 4096);
    file.set(one.bytes, offset);
  });
  return file;
}
