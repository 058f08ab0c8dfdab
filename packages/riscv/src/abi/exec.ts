import { Errno, FollFlag, MapFlag, PAGE_SIZE, Prot, ROOT_CREDENTIALS, VM, type Kernel, type MaySleep, type Mm } from "@faultline/kernel";
import type { ElfImage } from "../elf/load.js";
import type { Program } from "./executable.js";
import { mapElf, pageDown, pageUp, USER_END, type Mapped } from "./map_elf.js";
import { FRAME_SIZE } from "./signal_frame.js";
import { bytesOf, setI64, structBytes } from "./user.js";

/** Where a position-independent program goes, before randomisation: two thirds of the address space. */
const ELF_ET_DYN_BASE = 0x2a_aaaa_a000;
/** Pages over which a load address, and the gap before the heap, are drawn: 1 GiB each. */
const LOAD_RANDOM_PAGES = 1 << 18;
const BRK_RANDOM_PAGES = 1 << 18;

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
  readonly program: Program;
  /** As AT_EXECFN shows it. */
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** RLIMIT_STACK in bytes. */
  readonly stackLimit: number;
  /** Fills in at once what is mapped of files. */
  readonly populate?: boolean;
}

/** Where a program starts. */
export interface Entry {
  readonly pc: number;
  readonly sp: number;
  /** What was added to the addresses of a position-independent program. */
  readonly bias: number;
  /** Where its interpreter lies; 0 for none. */
  readonly interpreter: number;
}

/** Bytes of arguments and environment: what a stack limit allows, their pointers counted (since 4.13). */
export function argumentSpace(stackLimit: number, count: number): number {
  return Math.max(Math.min(stackLimit / 4, ARGUMENT_SPACE_MAX), ARGUMENT_SPACE_MIN) - count * 8;
}
const ARGUMENT_SPACE_MAX = 6 * 1024 * 1024;
const ARGUMENT_SPACE_MIN = 32 * PAGE_SIZE;

/**
 * Builds a program's address space in the current task's empty mm: segments, heap, interpreter, stack,
 * [vdso]. Returns where to start, or a negated errno.
 */
export function* loadProgram(k: Kernel, mm: Mm, what: ExecArguments): MaySleep<Entry | number> {
  const { program, populate = false } = what;
  const { image, interpreter } = program;
  const { choices } = k.m;
  const stackTop = yield* k.mmap.setupStack(k, mm, what.stackLimit, image.execStack);
  if (stackTop < 0) return stackTop;
  // What has no interpreter may be one itself, and keeps out of the way of the programs that it runs.
  const beside = image.type === "dyn" && interpreter === null;
  const drawn = image.type === "dyn" && !beside ? ELF_ET_DYN_BASE + choices.pick("load address", LOAD_RANDOM_PAGES) * PAGE_SIZE : null;
  const mapped = yield* mapElf(k, mm, program, drawn, populate);
  if (typeof mapped === "number") return mapped;
  noteLayout(mm, image, mapped);
  const linker = interpreter === null ? null : yield* mapElf(k, mm, interpreter, null, populate, true);
  if (typeof linker === "number") return linker;
  const end = Math.max(0, ...image.segments.map(({ vaddr, memsz }) => mapped.bias + vaddr + memsz));
  mm.startBrk = mm.brk = pageUp(beside ? ELF_ET_DYN_BASE : end) + choices.pick("brk", BRK_RANDOM_PAGES) * PAGE_SIZE;

  const vdso = yield* mapVdso(k, mm);
  if (vdso < 0) return vdso;
  mm.vdso = vdso;
  return yield* startAt(k, mm, what, stackTop, mapped.bias, linker?.bias ?? 0);
}

/** Bytes of the stack of a program that has come second into an address space. */
const SECOND_STACK = 32 * PAGE_SIZE;

/**
 * Lets a program run in an address space that `loadProgram` has filled, as a thread that starts at
 * the program's entry: with a stack of its own, which does not grow. `loaded`: the same program,
 * of which text and data are there; null for another one.
 */
export function* loadBeside(k: Kernel, mm: Mm, what: ExecArguments, loaded: Entry | null): MaySleep<Entry | number> {
  const mapped = loaded ?? (yield* mapElf(k, mm, what.program, null, what.populate ?? false));
  if (typeof mapped === "number") return mapped;
  const stack = yield* k.mmap.doMmap(k, mm, 0, SECOND_STACK, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  if (stack < 0) return stack;
  return yield* startAt(k, mm, what, stack + SECOND_STACK, mapped.bias, 0);
}

/** Fills the stack, whose top is given; where to start then, or a negated errno. */
function* startAt(k: Kernel, mm: Mm, what: ExecArguments, top: number, bias: number, interpreter: number): MaySleep<Entry | number> {
  const { program } = what;
  const sp = yield* buildStack(k, mm, what, top, bias, interpreter);
  if (sp < 0) return sp;
  const pc = program.interpreter === null ? bias + program.image.entry : interpreter + program.interpreter.image.entry;
  return pc < USER_END ? { pc, sp, bias, interpreter } : -Errno.EINVAL;
}

/** True when a segment would come to lie on what is mapped already. */
export function overlapsMapped(mm: Mm, image: ElfImage): boolean {
  if (image.type === "dyn") return false;
  return image.segments.some(({ vaddr, memsz }) => {
    const next = mm.vmas[mm.findVmaIndex(pageDown(vaddr) / PAGE_SIZE)];
    return memsz > 0 && next !== undefined && next.startVpn < pageUp(vaddr + memsz) / PAGE_SIZE;
  });
}

/** What /proc/PID/stat says of where a program lies. */
function noteLayout(mm: Mm, { segments }: ElfImage, { bias }: Mapped): void {
  const code = segments.filter(({ exec }) => exec);
  const endOf = (some: ElfImage["segments"]): number => Math.max(0, ...some.map(({ vaddr, filesz }) => bias + vaddr + filesz));
  mm.startCode = code.length === 0 ? 0 : bias + Math.min(...code.map(({ vaddr }) => vaddr));
  mm.endCode = endOf(code);
  mm.startData = Math.max(0, ...segments.map(({ vaddr }) => bias + vaddr));
  mm.endData = endOf(segments);
}

/** `li a7, 139; ecall`: what a handler returns to. riscv has no SA_RESTORER. */
const SIGRETURN_CODE = Uint8Array.of(0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00);

/** A page of the kernel's own, which is no memory as any other: it neither grows nor moves to a device (VM_DONTEXPAND). */
function* mapVdso(k: Kernel, mm: Mm): MaySleep<number> {
  const address = yield* k.mmap.doMmap(k, mm, 0, PAGE_SIZE, Prot.READ | Prot.EXEC, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  if (address < 0) return address;
  // Nobody else has this address space yet, so no lock is taken.
  const vma = mm.vmaAt(address / PAGE_SIZE)!;
  vma.name = "[vdso]";
  vma.flags |= VM.DONTEXPAND;
  const written = yield* k.accessRemote.accessRemoteVm(k, mm, address, SIGRETURN_CODE, FollFlag.WRITE | FollFlag.FORCE);
  return written === SIGRETURN_CODE.length ? address : -Errno.ENOMEM;
}

/** Strings at the top, then auxiliary vector, environment, arguments and their count at sp. */
function* buildStack(k: Kernel, mm: Mm, what: ExecArguments, top: number, bias: number, interpreter: number): MaySleep<number> {
  const { argv, env } = what;
  const { image } = what.program;
  const cred = k.m.current!.process?.cred ?? ROOT_CREDENTIALS;
  const strings = [...argv, ...env, what.path].map((text) => bytesOf(`${text}\0`));
  const bytes = strings.reduce((sum, s) => sum + s.length, 0);
  if (bytes > argumentSpace(what.stackLimit, argv.length + env.length)) return -Errno.E2BIG;
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
    [At.BASE, interpreter],
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
