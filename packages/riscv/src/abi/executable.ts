import { Errno, type Kernel, type MaySleep, type OpenFile } from "@faultline/kernel";
import { EHDR_SIZE, elfHeader, elfImage, PHDR_SIZE, pathIn, PHNUM_MAX, INTERPRETER_MAX, type ElfHeader, type ElfImage } from "../elf/load.js";

/** What is looked at of a file to know what runs it, in bytes (BINPRM_BUF_SIZE). */
export const HEAD_SIZE = 256;

/** An executable, open, and what its headers say. */
export interface Executable {
  readonly file: OpenFile;
  readonly image: ElfImage;
}

/** A program, and who links it when it runs; null where it is linked already. */
export interface Program extends Executable {
  readonly interpreter: Executable | null;
}

/** What a file begins with, filled up with zeros to HEAD_SIZE; or a negated errno. */
export function* readHead(k: Kernel, file: OpenFile): MaySleep<Uint8Array | number> {
  const bytes = yield* k.exec.readPart(k, file, 0, HEAD_SIZE);
  if (typeof bytes === "number") return bytes;
  const head = new Uint8Array(HEAD_SIZE);
  head.set(bytes);
  return head;
}

/**
 * What a program is, by its head, and its interpreter, opened by `openExec`. A negated errno otherwise, and the program is
 * left as it is: -ENOEXEC for what is none, -ELIBBAD for an interpreter that is none, -EIO for one that is cut short, and
 * whatever opening that says.
 */
export function* readProgram(k: Kernel, file: OpenFile, head: Uint8Array): MaySleep<Program | number> {
  const header = elfHeader(head);
  const image = header?.type === "other" ? null : yield* readImage(k, file, header);
  if (image === null) return -Errno.ENOEXEC;
  if (typeof image === "number") return image;
  if (image.interpreter === null) return { file, image, interpreter: null };
  const path = yield* readInterpreterPath(k, file, image.interpreter);
  if (typeof path === "number") return path;
  // An empty path is the working directory to the kernel itself.
  const opened = path === "" ? -Errno.EACCES : yield* k.m.vfs.openExec(k, path, null, true);
  if (typeof opened === "number") return opened;
  const interpreter = yield* readInterpreter(k, opened);
  if (typeof interpreter !== "number") return { file, image, interpreter: { file: opened, image: interpreter } };
  yield* k.exec.releaseExec(k, opened);
  return interpreter;
}

function* readInterpreter(k: Kernel, file: OpenFile): MaySleep<ElfImage | number> {
  const head = yield* k.exec.readPart(k, file, 0, EHDR_SIZE);
  if (typeof head === "number") return head;
  if (head.length < EHDR_SIZE) return -Errno.EIO;
  return (yield* readImage(k, file, elfHeader(head))) ?? -Errno.ELIBBAD;
}

/** The path that PT_INTERP names, or a negated errno. */
function* readInterpreterPath(k: Kernel, file: OpenFile, { offset, size }: { readonly offset: number; readonly size: number }): MaySleep<string | number> {
  if (size < 2 || size > INTERPRETER_MAX) return -Errno.ENOEXEC;
  const bytes = yield* k.exec.readPart(k, file, offset, size);
  if (typeof bytes === "number") return bytes;
  return bytes.length < size ? -Errno.EIO : (pathIn(bytes, size) ?? -Errno.ENOEXEC);
}

/** Null where there are no program headers that could be loaded, or the file cannot be mapped. */
function* readImage(k: Kernel, file: OpenFile, header: ElfHeader | null): MaySleep<ElfImage | number | null> {
  if (header === null || file.ops.mmap === undefined) return null;
  const { phoff, phentsize, phnum } = header;
  if (phentsize !== PHDR_SIZE || phnum === 0 || phnum > PHNUM_MAX) return null;
  const length = phnum * PHDR_SIZE;
  const bytes = yield* k.exec.readPart(k, file, phoff, length);
  return typeof bytes === "number" || bytes.length < length ? null : elfImage(header, bytes);
}

/** Drops what `readProgram` has opened besides the program itself. */
export function* releaseInterpreter(k: Kernel, { interpreter }: Program): MaySleep<void> {
  if (interpreter !== null) yield* k.exec.releaseExec(k, interpreter.file);
}
