import { Errno, MapFlag, PAGE_SIZE, Prot, ROOT_CREDENTIALS, type Kernel, type MaySleep, type Mm } from "@faultline/kernel";
import type { ElfImage, ElfSegment } from "../elf/load.js";
import { FRAME_SIZE } from "./signal_frame.js";
import { bytesOf, setI64, structBytes } from "./user.js";

/** Where a position-independent program goes, before randomisation: two thirds of the address space. */
const ELF_ET_DYN_BASE = 0x2a_aaaa_a000;
/** Pages over which a load address, and the gap before the heap, are drawn. */
const LOAD_RANDOM_PAGES = 1 << 18;
const BRK_RANDOM_PAGES = 1 << 13;

/** Auxiliary vector entries. */
enum At {
  NULL = 0,
  PHDR = 3,
  PHENT = 4,
  PHNUM = 5,
  PAGESZ = 6,
  BASE = 7,
  FLAGS = 8,
  ENTRY = 9,
  UID = 11,
  EUID = 12,
  GID = 13,
  EGID = 14,
  HWCAP = 16,
  CLKTCK = 17,
  SECURE = 23,
  RANDOM = 25,
  HWCAP2 = 26,
  EXECFN = 31,
  MINSIGSTKSZ = 51,
}

/** AT_HWCAP: a bit for each single-letter extension. */
const HWCAP = [..."imafdc"].reduce((bits, letter) => bits | (1 << (letter.charCodeAt(0) - 97)), 0);

/** A program, and what it is given: byte strings. */
export interface ExecArguments {
  readonly image: ElfImage;
  readonly bytes: Uint8Array;
  /** As AT_EXECFN shows it. */
  readonly path: string;
  /** As maps shows it. */
  readonly exe: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** RLIMIT_STACK in bytes. */
  readonly stackLimit: number;
}

/** Where a program starts. */
export interface Entry {
  readonly pc: number;
  readonly sp: number;
  /** What was added to the addresses of a position-independent program. */
  readonly bias: number;
}

/** Bytes of arguments and environment: what a stack limit allows, their pointers counted (since 4.13). */
export function argumentSpace(stackLimit: number, count: number): number {
  return Math.max(Math.min(stackLimit / 4, ARGUMENT_SPACE_MAX), ARGUMENT_SPACE_MIN) - count * 8;
}
const ARGUMENT_SPACE_MAX = 6 * 1024 * 1024;
const ARGUMENT_SPACE_MIN = 32 * PAGE_SIZE;

function pageDown(address: number): number {
  return Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
}

function pageUp(address: number): number {
  return Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
}

function protOf(segment: ElfSegment): number {
  return (segment.read ? Prot.READ : 0) | (segment.write ? Prot.WRITE : 0) | (segment.exec ? Prot.EXEC : 0);
}

/**
 * Builds a program's address space in the current task's empty mm: segments, bss, heap, stack,
 * [vdso]. What Linux maps from the file is private memory here, filled at once and named after
 * the file, so that program text is ordinary anonymous memory to reclaim.
 * Returns where to start, or a negated errno.
 */
export function* loadProgram(k: Kernel, mm: Mm, program: ExecArguments): MaySleep<Entry | number> {
  const { image } = program;
  const { choices } = k.m;
  const stackTop = yield* k.mmap.setupStack(k, mm, program.stackLimit);
  if (stackTop < 0) return stackTop;
  const bias = image.type === "dyn" ? ELF_ET_DYN_BASE + choices.pick("load address", LOAD_RANDOM_PAGES) * PAGE_SIZE : 0;
  const brk = yield* mapSegments(k, mm, program, bias);
  if (brk < 0) return brk;
  mm.startBrk = mm.brk = pageUp(brk) + choices.pick("brk", BRK_RANDOM_PAGES) * PAGE_SIZE;

  const vdso = yield* mapVdso(k, mm);
  if (vdso < 0) return vdso;
  mm.vdso = vdso;
  const sp = yield* buildStack(k, mm, program, stackTop, bias);
  if (sp < 0) return sp;
  return { pc: bias + image.entry, sp, bias };
}

/** Bytes of the stack of a program that has come second into an address space. */
const SECOND_STACK = 32 * PAGE_SIZE;

/**
 * Lets a program run in an address space that `loadProgram` has filled, as a thread that starts at
 * the program's entry: with a stack of its own, which does not grow. `loaded`: the same program,
 * of which text and data are there; null for another one.
 */
export function* loadBeside(k: Kernel, mm: Mm, program: ExecArguments, loaded: Entry | null): MaySleep<Entry | number> {
  const bias = loaded?.bias ?? (program.image.type === "dyn" ? ELF_ET_DYN_BASE : 0);
  if (loaded === null) {
    const end = yield* mapSegments(k, mm, program, bias);
    if (end < 0) return end;
  }
  const stack = yield* k.mmap.doMmap(k, mm, 0, SECOND_STACK, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  if (stack < 0) return stack;
  const sp = yield* buildStack(k, mm, program, stack + SECOND_STACK, bias);
  if (sp < 0) return sp;
  return { pc: bias + program.image.entry, sp, bias };
}

/** True when a segment would come to lie on what is mapped already. */
export function overlapsMapped(mm: Mm, image: ElfImage): boolean {
  const bias = image.type === "dyn" ? ELF_ET_DYN_BASE : 0;
  return image.segments.some(({ vaddr, memsz }) => {
    const next = mm.vmas[mm.findVmaIndex(pageDown(bias + vaddr) / PAGE_SIZE)];
    return memsz > 0 && next !== undefined && next.startVpn < pageUp(bias + vaddr + memsz) / PAGE_SIZE;
  });
}

/** Maps and fills the segments; where the last one ends, or a negated errno. */
function* mapSegments(k: Kernel, mm: Mm, program: ExecArguments, bias: number): MaySleep<number> {
  let brk = 0;
  for (const segment of program.image.segments) {
    if (segment.memsz === 0) continue;
    const error = yield* mapSegment(k, mm, program, segment, bias);
    if (error < 0) return error;
    const end = bias + segment.vaddr + segment.memsz;
    brk = Math.max(brk, end);
    noteLayout(mm, segment, bias);
  }
  return brk;
}

function noteLayout(mm: Mm, segment: ElfSegment, bias: number): void {
  const start = bias + segment.vaddr;
  const end = start + segment.filesz;
  if (segment.exec) {
    if (mm.startCode === 0) mm.startCode = start;
    mm.endCode = Math.max(mm.endCode, end);
  } else if (segment.write) {
    if (mm.startData === 0) mm.startData = start;
    mm.endData = Math.max(mm.endData, end);
  }
}

/** Maps one segment: the pages that the file fills under its name, pure bss without one. */
function* mapSegment(k: Kernel, mm: Mm, program: ExecArguments, segment: ElfSegment, bias: number): MaySleep<number> {
  const start = bias + segment.vaddr;
  const mapStart = pageDown(start);
  const fileEnd = segment.filesz === 0 ? mapStart : pageUp(start + segment.filesz);
  const memEnd = pageUp(start + segment.memsz);
  const prot = protOf(segment);
  if (fileEnd > mapStart) {
    const error = yield* mapFixed(k, mm, mapStart, fileEnd - mapStart, Prot.READ | Prot.WRITE);
    if (error < 0) return error;
    nameVma(mm, mapStart, program.exe);
    // A page holds what the file has around the segment too, as far as it is mapped for it.
    const lead = start - mapStart;
    const source = program.bytes.subarray(segment.offset - Math.min(lead, segment.offset), segment.offset + segment.filesz);
    const copied = yield* copyPages(k, start - Math.min(lead, segment.offset), source);
    if (copied < 0) return copied;
    if (prot !== (Prot.READ | Prot.WRITE)) {
      const protectedAs = yield* k.mprotect.doMprotect(k, mm, mapStart, fileEnd - mapStart, prot);
      if (protectedAs < 0) return protectedAs;
    }
  }
  return memEnd > fileEnd ? yield* mapFixed(k, mm, fileEnd, memEnd - fileEnd, prot) : 0;
}

function* mapFixed(k: Kernel, mm: Mm, address: number, length: number, prot: number): MaySleep<number> {
  return yield* k.mmap.doMmap(k, mm, address, length, prot, MapFlag.PRIVATE | MapFlag.FIXED | MapFlag.ANONYMOUS, null, 0);
}

/** Nobody else has this address space yet, so no lock is taken. */
function nameVma(mm: Mm, address: number, name: string): void {
  const vma = mm.vmaAt(address / PAGE_SIZE);
  if (vma !== null) vma.name = name;
}

/** Copies to user memory, leaving pages alone that are zero anyhow. */
function* copyPages(k: Kernel, address: number, bytes: Uint8Array): MaySleep<number> {
  for (let done = 0; done < bytes.length; ) {
    const n = Math.min(bytes.length - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
    const part = bytes.subarray(done, done + n);
    if (part.some((byte) => byte !== 0)) {
      const error = yield* k.uaccess.copyToUser(k, address + done, part);
      if (error < 0) return error;
    }
    done += n;
  }
  return 0;
}

/** `li a7, 139; ecall`: what a handler returns to. riscv has no SA_RESTORER. */
const SIGRETURN_CODE = Uint8Array.of(0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00);

function* mapVdso(k: Kernel, mm: Mm): MaySleep<number> {
  const address = yield* k.mmap.doMmap(k, mm, 0, PAGE_SIZE, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  if (address < 0) return address;
  nameVma(mm, address, "[vdso]");
  const error = yield* k.uaccess.copyToUser(k, address, SIGRETURN_CODE);
  if (error < 0) return error;
  const result = yield* k.mprotect.doMprotect(k, mm, address, PAGE_SIZE, Prot.READ | Prot.EXEC);
  return result < 0 ? result : address;
}

/** Strings at the top, then auxiliary vector, environment, arguments and their count at sp. */
function* buildStack(k: Kernel, mm: Mm, program: ExecArguments, top: number, bias: number): MaySleep<number> {
  const { image, argv, env } = program;
  const cred = k.m.current!.process?.cred ?? ROOT_CREDENTIALS;
  const strings = [...argv, ...env, program.path].map((text) => bytesOf(`${text}\0`));
  const bytes = strings.reduce((sum, s) => sum + s.length, 0);
  if (bytes > argumentSpace(program.stackLimit, argv.length + env.length)) return -Errno.E2BIG;
  // The last eight bytes below the top stay zero.
  const base = top - 8 - bytes;
  const block = new Uint8Array(bytes);
  const addresses: number[] = [];
  let at = 0;
  for (const s of strings) {
    addresses.push(base + at);
    block.set(s, at);
    at += s.length;
  }
  const envAt = argv.length;
  const pathAt = argv.length + env.length;
  mm.argStart = addresses[0]!;
  mm.argEnd = mm.envStart = addresses[envAt]!;
  mm.envEnd = addresses[pathAt]!;

  const random = Uint8Array.from({ length: 16 }, () => k.m.choices.pick("AT_RANDOM", 256));
  const randomAt = Math.floor((base - 16) / 16) * 16;
  const auxv: readonly (readonly [At, number])[] = [
    [At.HWCAP, HWCAP],
    [At.PAGESZ, PAGE_SIZE],
    [At.CLKTCK, 100],
    [At.PHDR, image.phdr === 0 ? 0 : bias + image.phdr],
    [At.PHENT, image.phentsize],
    [At.PHNUM, image.phnum],
    [At.BASE, 0],
    [At.FLAGS, 0],
    [At.ENTRY, bias + image.entry],
    [At.UID, cred.uid],
    [At.EUID, cred.euid],
    [At.GID, cred.gid],
    [At.EGID, cred.egid],
    [At.SECURE, Number(cred.euid !== cred.uid || cred.egid !== cred.gid)],
    [At.RANDOM, randomAt],
    [At.HWCAP2, 0],
    [At.EXECFN, addresses[pathAt]!],
    [At.MINSIGSTKSZ, FRAME_SIZE],
    [At.NULL, 0],
  ];
  mm.savedAuxv = auxv.flat();
  const words = [argv.length, ...addresses.slice(0, envAt), 0, ...addresses.slice(envAt, pathAt), 0, ...auxv.flat()];
  const sp = Math.floor((randomAt - words.length * 8) / 16) * 16;
  const view = new DataView(new ArrayBuffer(words.length * 8));
  words.forEach((word, i) => {
    setI64(view, i * 8, word);
  });
  mm.startStack = sp;
  for (const [address, data] of [[base, block], [randomAt, random], [sp, structBytes(view)]] as const) {
    const error = yield* k.uaccess.copyToUser(k, address, data);
    if (error < 0) return error;
  }
  return sp;
}
