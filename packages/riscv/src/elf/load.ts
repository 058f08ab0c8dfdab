/**
 * Reads the headers of a riscv64 executable (System V gABI, "Object Files"; RISC-V ELF psABI). Only
 * describes the file: mapping it is the kernel's work.
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
  /** `exec` is loaded at its addresses; `dyn` (a PIE, an interpreter) anywhere; `other`, which `parseElf` refuses, nowhere. */
  readonly type: "exec" | "dyn" | "other";
  readonly entry: number;
  /** Address of the program headers in memory, for AT_PHDR, relative to the load bias; 0 if no segment contains them. */
  readonly phdr: number;
  /** For AT_PHENT and AT_PHNUM. */
  readonly phentsize: number;
  readonly phnum: number;
  /** PT_LOAD segments; ascending and not overlapping in what `parseElf` takes. */
  readonly segments: readonly ElfSegment[];
  /** Where the file has the path of its interpreter (PT_INTERP), in bytes; null in what is statically linked. */
  readonly interpreter: { readonly offset: number; readonly size: number } | null;
  /** Whether the stack is to be executable: a PT_GNU_STACK that says so. */
  readonly execStack: boolean;
}

/** Where a file has its program headers. */
export interface ElfHeader {
  readonly type: ElfImage["type"];
  readonly entry: number;
  /** In bytes, of the file. */
  readonly phoff: number;
  readonly phentsize: number;
  readonly phnum: number;
}

/** Bytes of a header, and of a program header. */
export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;
/** Longest path of an interpreter, with its NUL, in bytes. */
export const INTERPRETER_MAX = 4096;
const PAGE = 4096;
/** Sv39 user addresses end here. */
const ADDRESS_END = 2 ** 38;

/** As many program headers as the kernel loads: 64 KiB of them. */
export const PHNUM_MAX = Math.floor(65536 / PHDR_SIZE);

const MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const ELFCLASS64 = 2;
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

/** As little as the kernel wants of a header (at least EHDR_SIZE bytes) before it reads on; null for what is no ELF file for riscv64. */
export function elfHeader(head: Uint8Array): ElfHeader | null {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (!isElf(head) || head[4] !== ELFCLASS64 || view.getUint16(18, true) !== EM_RISCV) return null;
  return {
    type: typeOf(view),
    entry: readU64(view, 24),
    phoff: readU64(view, 32),
    phentsize: view.getUint16(54, true),
    phnum: view.getUint16(56, true),
  };
}

/** A file by its header and its program headers, which are taken as they are. */
export function elfImage({ type, entry, phoff, phnum }: ElfHeader, programHeaders: Uint8Array): ElfImage {
  const view = new DataView(programHeaders.buffer, programHeaders.byteOffset, programHeaders.byteLength);
  return imageOf({ type, entry, phoff, phentsize: PHDR_SIZE, phnum }, readProgramHeaders(view, 0, phnum));
}

function imageOf({ type, entry, phoff, phnum }: ElfHeader, headers: readonly ProgramHeader[]): ElfImage {
  const segments = headers.filter((header) => header.type === PT_LOAD).map(toSegment);
  const holder = segments.find((one) => phoff >= one.offset && phoff < one.offset + one.filesz);
  const interpreter = headers.find((header) => header.type === PT_INTERP);
  const stack = headers.findLast((header) => header.type === PT_GNU_STACK);
  return {
    type,
    entry,
    phdr: holder ? holder.vaddr + (phoff - holder.offset) : 0,
    phentsize: PHDR_SIZE,
    phnum,
    segments,
    interpreter: interpreter === undefined ? null : { offset: interpreter.offset, size: interpreter.filesz },
    execStack: stack?.exec ?? false,
  };
}

/** @throws ElfError, and nothing else, whatever the bytes are */
export function parseElf(bytes: Uint8Array): ElfImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readHeader(bytes, view);
  const image = imageOf(header, readProgramHeaders(view, header.phoff, header.phnum));
  const { type, entry, segments } = image;
  checkSegments(segments, bytes.length, type === "dyn");
  if (!segments.some((one) => one.exec && entry >= one.vaddr && entry < one.vaddr + one.memsz)) {
    throw new ElfError(`has its entry point ${hex(entry)} outside of any executable segment`);
  }
  if (image.interpreter !== null && (interpreterPath(bytes, image) ?? "") === "") {
    throw new ElfError("has a name of its interpreter that is empty, too long or without an end");
  }
  return image;
}

/** The path of a file's interpreter, a byte string; null where it has none, or where that is no path. */
export function interpreterPath(bytes: Uint8Array, { interpreter }: ElfImage): string | null {
  return interpreter === null ? null : pathIn(bytes.subarray(interpreter.offset, interpreter.offset + interpreter.size), interpreter.size);
}

/** The path that PT_INTERP has, of so many bytes; null where it is none. */
export function pathIn(bytes: Uint8Array, size: number): string | null {
  if (size < 2 || size > INTERPRETER_MAX || bytes.length < size || bytes[size - 1] !== 0) return null;
  return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
}

function typeOf(view: DataView): ElfImage["type"] {
  const type = view.getUint16(16, true);
  return type === ET_DYN ? "dyn" : type === ET_EXEC ? "exec" : "other";
}

/** Whether a file says that it is an ELF file. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && MAGIC.every((byte, index) => bytes[index] === byte);
}

function readHeader(bytes: Uint8Array, view: DataView): ElfHeader {
  if (!isElf(bytes)) throw new ElfError("is not an ELF file");
  if (bytes.length < 20) throw new ElfError("is truncated within the ELF header");
  const machine = view.getUint16(18, bytes[5] !== 2);
  if (machine !== EM_RISCV) {
    throw new ElfError(`is for ${MACHINES.get(machine) ?? `machine ${String(machine)}`}, not riscv64`);
  }
  if (bytes[4] !== ELFCLASS64) throw new ElfError("is a 32-bit program; 64-bit riscv is needed");
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
  if (phnum > PHNUM_MAX) throw new ElfError(`has ${String(phnum)} program headers, more than are loaded (${String(PHNUM_MAX)})`);
  return { type: typeOf(view), entry: readU64(view, 24), phoff, phentsize, phnum };
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
