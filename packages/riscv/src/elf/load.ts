/**
 * Reads the headers of a statically linked riscv64 executable (System V gABI, "Object Files";
 * RISC-V ELF psABI). Only describes the file: mapping it is the kernel's work.
 */

/** A file that cannot be run; the message is one line that says why. */
export class ElfError extends Error {
  override readonly name = "ElfError";
}

export interface ElfSegment {
  /** Address of the first byte, relative to the load bias for `dyn`. */
  readonly vaddr: number;
  /** Bytes in memory; those beyond `filesz` are zero. */
  readonly memsz: number;
  /** Where the first `filesz` bytes stand in the file. */
  readonly offset: number;
  readonly filesz: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  /** Power of two; vaddr and offset are congruent modulo it. */
  readonly align: number;
}

export interface ElfImage {
  /** `exec` is loaded at its addresses; `dyn` (a static PIE) anywhere. */
  readonly type: "exec" | "dyn";
  readonly entry: number;
  /** Address of the program headers in memory, for AT_PHDR; 0 if no segment contains them. */
  readonly phdr: number;
  /** For AT_PHENT and AT_PHNUM. */
  readonly phentsize: number;
  readonly phnum: number;
  /** PT_LOAD segments, ascending and not overlapping. */
  readonly segments: readonly ElfSegment[];
  /** Whether the stack is to be executable: no PT_GNU_STACK, or one that says so. */
  readonly execStack: boolean;
}

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const PAGE = 4096;
/** Sv39 user addresses end here. */
const ADDRESS_END = 2 ** 38;

const ET_EXEC = 2;
const ET_DYN = 3;
const FILE_TYPES: ReadonlyMap<number, string> = new Map([
  [0, "of no type"], [1, "a relocatable object (.o); link it"], [4, "a core dump"],
]);

const EM_RISCV = 243;
const MACHINES: ReadonlyMap<number, string> = new Map([
  [2, "sparc"], [3, "i386"], [4, "m68k"], [8, "mips"], [20, "powerpc"], [21, "powerpc64"], [22, "s390x"],
  [40, "arm"], [42, "sh"], [43, "sparc64"], [50, "ia64"], [62, "x86-64"], [183, "aarch64"], [247, "bpf"], [258, "loongarch"],
]);

const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

interface ProgramHeader extends ElfSegment {
  readonly type: number;
}

/** @throws ElfError, and nothing else, whatever the bytes are */
export function parseElf(bytes: Uint8Array): ElfImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { type, entry, phoff, phnum } = readHeader(bytes, view);
  const headers = readProgramHeaders(view, phoff, phnum);

  const interpreter = headers.find((header) => header.type === PT_INTERP);
  if (interpreter) {
    const name = printable(bytes.subarray(interpreter.offset, interpreter.offset + interpreter.filesz));
    throw new ElfError(`is dynamically linked (wants ${name}); link it with -static`);
  }

  const segments = headers.filter((header) => header.type === PT_LOAD).map(toSegment);
  checkSegments(segments, bytes.length, type === ET_DYN);
  if (!segments.some((one) => one.exec && entry >= one.vaddr && entry < one.vaddr + one.memsz)) {
    throw new ElfError(`has its entry point ${hex(entry)} outside of any executable segment`);
  }

  const stack = headers.find((header) => header.type === PT_GNU_STACK);
  const holder = segments.find(
    (one) => phoff >= one.offset && phoff + phnum * PHDR_SIZE <= one.offset + one.filesz,
  );
  return {
    type: type === ET_DYN ? "dyn" : "exec",
    entry,
    phdr: holder ? holder.vaddr + (phoff - holder.offset) : 0,
    phentsize: PHDR_SIZE,
    phnum,
    segments,
    execStack: stack?.exec ?? true,
  };
}

function readHeader(bytes: Uint8Array, view: DataView): { type: number; entry: number; phoff: number; phnum: number } {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  if (bytes.length < 4 || magic.some((byte, index) => bytes[index] !== byte)) throw new ElfError("is not an ELF file");
  if (bytes.length < 20) throw new ElfError("is truncated within the ELF header");
  const machine = view.getUint16(18, bytes[5] !== 2);
  if (machine !== EM_RISCV) {
    throw new ElfError(`is for ${MACHINES.get(machine) ?? `machine ${String(machine)}`}, not riscv64`);
  }
  if (bytes[4] !== 2) throw new ElfError("is a 32-bit program; 64-bit riscv is needed");
  if (bytes[5] !== 1) throw new ElfError("is big endian; riscv64 Linux is little endian");
  if (bytes.length < EHDR_SIZE) throw new ElfError("is truncated within the ELF header");

  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new ElfError(`is not an executable but ${FILE_TYPES.get(type) ?? `of ELF type ${String(type)}`}`);
  }
  const phnum = view.getUint16(56, true);
  if (phnum === 0) throw new ElfError("has no program headers");
  const phentsize = view.getUint16(54, true);
  if (phentsize !== PHDR_SIZE) throw new ElfError(`has program headers of ${String(phentsize)} bytes, not ${String(PHDR_SIZE)}`);
  const phoff = readU64(view, 32);
  if (phoff + phnum * PHDR_SIZE > bytes.length) throw new ElfError("is truncated: its program headers lie beyond the end of the file");
  return { type, entry: readU64(view, 24), phoff, phnum };
}

function readProgramHeaders(view: DataView, phoff: number, phnum: number): ProgramHeader[] {
  return Array.from({ length: phnum }, (_, index) => {
    const at = phoff + index * PHDR_SIZE;
    const flags = view.getUint32(at + 4, true);
    return {
      type: view.getUint32(at, true),
      read: (flags & PF_R) !== 0,
      write: (flags & PF_W) !== 0,
      exec: (flags & PF_X) !== 0,
      offset: readU64(view, at + 8),
      vaddr: readU64(view, at + 16),
      filesz: readU64(view, at + 32),
      memsz: readU64(view, at + 40),
      align: readU64(view, at + 48),
    };
  });
}

function toSegment({ vaddr, memsz, offset, filesz, read, write, exec, align }: ProgramHeader): ElfSegment {
  return { vaddr, memsz, offset, filesz, read, write, exec, align };
}

function checkSegments(segments: readonly ElfSegment[], fileSize: number, relocatable: boolean): void {
  if (segments.length === 0) throw new ElfError("has nothing to load");
  let end = 0;
  for (const one of segments) {
    const where = `segment at ${hex(one.vaddr)}`;
    if (one.offset + one.filesz > fileSize) throw new ElfError(`is truncated: the contents of its ${where} lie beyond the end of the file`);
    if (one.filesz > one.memsz) throw new ElfError(`has a ${where} with more bytes in the file than in memory`);
    if (one.vaddr + one.memsz > ADDRESS_END) throw new ElfError(`has a ${where} that ends beyond the user address space`);
    if (!relocatable && one.memsz > 0 && one.vaddr < PAGE) throw new ElfError(`has a ${where}, within the page that catches null pointers`);
    // Pages are mapped straight from the file.
    if ((one.vaddr - one.offset) % PAGE !== 0) throw new ElfError(`has a ${where} not aligned with its file offset`);
    if (one.align > 1 && (!isPowerOfTwo(one.align) || (one.vaddr - one.offset) % one.align !== 0)) {
      throw new ElfError(`has a ${where} with alignment ${hex(one.align)}, which it does not keep`);
    }
    if (one.vaddr < end) throw new ElfError(`has a ${where} that overlaps the one before it or is out of order`);
    end = one.vaddr + one.memsz;
  }
}

const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

/** Values beyond 2^53 are rounded: they are all refused as beyond the file or the address space. */
function readU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** A path out of a file that may hold anything: cut at its NUL, kept to printable ASCII. */
function printable(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes.subarray(0, 256)) {
    if (byte === 0) break;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?";
  }
  return text === "" ? "an interpreter" : text;
}
