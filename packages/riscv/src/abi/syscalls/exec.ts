import { Errno, inheritedMdwe, PAGE_SIZE, Rlimit, Sig, SI, type MaySleep, type OpenFile } from "@faultline/kernel";
import { argumentSpace, loadProgram } from "../exec.js";
import { readHead, readProgram, releaseInterpreter, type Program } from "../executable.js";
import type { GuestThread } from "../guest_thread.js";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, pathAt } from "./fs.js";
import { int, type Handler } from "./syscall.js";

/** Only asks whether a file may be executed (since 6.14). */
const AT_EXECVE_CHECK = 0x10000;
/** Interpreters that are scripts themselves, at most. */
const MAX_INTERPRETERS = 5;
/** Longest argument, with its NUL. */
const MAX_ARG_STRLEN = 32 * PAGE_SIZE;

/** A program, and what it is called with once scripts have led to it. */
interface Called {
  readonly program: Program;
  readonly argv: readonly string[];
}

/** Arguments or environment: byte strings, or a negated errno. A null pointer stands for none. */
function* readStrings(t: GuestThread, address: number): MaySleep<string[] | number> {
  const { k } = t;
  const strings: string[] = [];
  if (address === 0) return strings;
  let left = argumentSpace(stackLimitOf(t), 0);
  for (let at = address; ; at += 8) {
    const pointer = yield* k.uaccess.getUser64(k, at);
    if (pointer === null) return -Errno.EFAULT;
    if (pointer === 0n) return strings;
    const text = yield* k.uaccess.strncpyFromUser(k, Number(pointer), MAX_ARG_STRLEN);
    if (typeof text === "number") return text === -Errno.ENAMETOOLONG ? -Errno.E2BIG : text;
    left -= text.length + 1 + 8;
    if (left < 0) return -Errno.E2BIG;
    strings.push(text);
  }
}

function isScript(bytes: Uint8Array): boolean {
  return bytes[0] === 0x23 && bytes[1] === 0x21;
}

/** `#!INTERPRETER ARGUMENT`, as the first line of a script has it; null where it names no interpreter. */
function parseScript(head: Uint8Array): { interpreter: string; argument: string | null } | null {
  const text = String.fromCharCode(...head.subarray(2));
  const end = text.indexOf("\n");
  const line = (end < 0 ? text : text.slice(0, end)).replaceAll(/^[ \t]+|[ \t]+$/g, "");
  // The name may go on behind what is looked at.
  if (end < 0 && !text.includes("\0") && !/[^ \t][ \t\0]/.test(text)) return null;
  const [, interpreter, argument] = /^([^ \t\0]+)[ \t]*([^\0]*)/.exec(line) ?? [];
  return interpreter === undefined ? null : { interpreter, argument: argument === "" ? null : argument! };
}

/**
 * The ELF file that a program comes down to, by way of scripts, opened for its caller; a negated
 * errno otherwise. `path` is what an interpreter is told; null where it could not open it.
 */
function* findProgram(t: GuestThread, first: OpenFile, path: string | null, argv: readonly string[]): MaySleep<Called | number> {
  const { k } = t;
  let file = first;
  let name = path;
  let args = argv;
  for (let depth = 0; ; depth++) {
    const head = yield* readHead(k, file);
    const script = typeof head === "number" || !isScript(head) ? null : parseScript(head);
    const program = typeof head === "number" ? head : isScript(head) ? -Errno.ENOEXEC : yield* readProgram(k, file, head);
    if (typeof program !== "number") return { program, argv: args };
    yield* k.exec.releaseExec(k, file);
    if (script === null) return program;
    if (name === null) return -Errno.ENOENT;
    const { interpreter, argument } = script;
    const next = yield* k.m.vfs.openExec(k, interpreter, null, true);
    if (typeof next === "number") return next;
    args = [interpreter, ...(argument === null ? [] : [argument]), name, ...args.slice(1)];
    name = interpreter;
    file = next;
    if (depth === MAX_INTERPRETERS) {
      yield* k.exec.releaseExec(k, file);
      return -Errno.ELOOP;
    }
  }
}

/** How a program is found. */
interface Found {
  readonly file: OpenFile;
  /** What AT_EXECFN says. */
  readonly path: string;
  /** It has a path only by a descriptor that is about to be closed. */
  readonly inaccessible: boolean;
  /** What the process is called from then on. */
  readonly comm: string;
  readonly check: boolean;
}

/** Replaces the program of the current process. The file is used up, whatever comes of it. */
function* exec(t: GuestThread, { file, path, inaccessible, comm, check }: Found, argvAt: number, envAt: number): MaySleep<number> {
  const { k } = t;
  const argv = yield* readStrings(t, argvAt);
  const env = typeof argv === "number" ? argv : yield* readStrings(t, envAt);
  if (typeof argv === "number" || typeof env === "number" || check) {
    yield* k.exec.releaseExec(k, file);
    return typeof argv === "number" ? argv : typeof env === "number" ? env : 0;
  }
  // Programs may rely on there being a first argument (since 5.18).
  const found = yield* findProgram(t, file, inaccessible ? null : path, argv.length === 0 ? [""] : argv);
  if (typeof found === "number") return found;
  const { program } = found;
  const mm = fits(t, [...found.argv, ...env, path]) ? yield* k.mmap.mmAlloc(k) : -Errno.E2BIG;
  const error = mm === null ? -Errno.ENOMEM : typeof mm === "number" ? mm : yield* k.exec.deThread(k);
  if (mm === null || typeof mm === "number" || error < 0) {
    if (mm !== null && typeof mm !== "number") yield* k.mmap.exitMmap(k, mm);
    yield* releaseInterpreter(k, program);
    yield* k.exec.releaseExec(k, program.file);
    return error;
  }
  // From here on there is no way back.
  const mdwe = inheritedMdwe(t.task.mm!);
  yield* k.exec.execMmap(k, mm);
  yield* k.exec.beginNewExec(k, program.file, comm);
  const entry = yield* loadProgram(k, mm, { program, path, argv: found.argv, env, stackLimit: stackLimitOf(t) });
  yield* releaseInterpreter(k, program);
  if (typeof entry === "number") {
    k.signal.forceSignal(k, { signo: Sig.SIGSEGV, code: SI.KERNEL, addr: 0 });
    return entry;
  }
  // [vdso] is written, and then made executable.
  mm.mdwe = mdwe;
  t.enter(entry);
  t.keepRegisters = true;
  return 0;
}

/** Whether arguments, environment and path have room on the new stack. */
function fits(t: GuestThread, strings: readonly string[]): boolean {
  const bytes = strings.reduce((sum, text) => sum + text.length + 1, 0);
  return bytes <= argumentSpace(stackLimitOf(t), strings.length - 1);
}

/** RLIMIT_STACK in bytes; more than any number of them for none. */
function stackLimitOf(t: GuestThread): number {
  return Number(t.task.process!.limits[Rlimit.STACK]!.current);
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export const execve: Handler = function* (t, [name, argv, env]) {
  return yield* execveat(t, [AT_FDCWD, name!, argv!, env!, 0]);
};

export const execveat: Handler = function* (t, [dirfd, name, argv, env, flags]) {
  const { k } = t;
  if ((int(flags!) & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_EXECVE_CHECK)) !== 0) return -Errno.EINVAL;
  const at = yield* pathAt(t, dirfd!, name!);
  if (typeof at === "number") return at;
  const { path, base } = at;
  if (path === "" && (int(flags!) & AT_EMPTY_PATH) === 0) return -Errno.ENOENT;
  if (path === "" && base === null) return -Errno.EACCES;
  const file = yield* k.m.vfs.openExec(k, path, base, (int(flags!) & AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof file === "number") return file;
  const comm = lastPart(path === "" ? file.path.replace(/ \(deleted\)$/, "") : path);
  const check = (int(flags!) & AT_EXECVE_CHECK) !== 0;
  if (base === null) return yield* exec(t, { file, path, inaccessible: false, comm, check }, argv!, env!);
  // What is found by way of a descriptor has the path of that.
  const shown = `/dev/fd/${int(dirfd!)}${path === "" ? "" : "/"}${path}`;
  const inaccessible = t.task.process!.files.isCloexec(int(dirfd!));
  return yield* exec(t, { file, path: shown, inaccessible, comm, check }, argv!, env!);
};
