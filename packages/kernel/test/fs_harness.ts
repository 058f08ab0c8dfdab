import type { Kernel, MaySleep, Mm, OpenFile } from "../src/index.js";
import { O } from "../src/fs/vfs.js";
import { mountAll } from "../src/fs/mount_all.js";
import { bytesOf, textOf } from "../src/fs/pseudo.js";
import { makeKernel, runTask, type HarnessOptions } from "./harness.js";

export interface FsHarness {
  readonly k: Kernel;
  /** What went to the standard streams. */
  readonly output: { 1: string; 2: string };
  run<T>(body: (mm: Mm) => MaySleep<T>): T;
}

/** A machine with everything mounted; the standard streams are at 0 to 2 of every process. */
export function makeFs(options: HarnessOptions & { stdin?: string } = {}): FsHarness {
  const k = makeKernel(options);
  const output = { 1: "", 2: "" };
  const streams = mountAll(k, {
    ...(options.stdin === undefined ? {} : { stdin: bytesOf(options.stdin) }),
    write: (fd, bytes) => {
      output[fd] += textOf(bytes);
    },
  });
  return {
    k,
    output,
    run: (body) =>
      runTask(k, function* (mm) {
        streams.install(k.m.current!.process!.files);
        return yield* body(mm);
      }),
  };
}

/** Reads a whole file, `chunk` bytes at a time, as cat does; a negated errno. */
export function* cat(k: Kernel, path: string, chunk = 4096): MaySleep<string | number> {
  const file = yield* k.m.vfs.open(k, path, O.RDONLY, 0);
  if (typeof file === "number") return file;
  let text = "";
  const buffer = new Uint8Array(chunk);
  for (;;) {
    const n = yield* k.m.vfs.read(k, file, buffer);
    if (n <= 0) {
      yield* k.m.vfs.put(k, file);
      return n < 0 ? n : text;
    }
    text += textOf(buffer.subarray(0, n));
  }
}

/** Writes as `echo TEXT > PATH` does; bytes written, or a negated errno. */
export function* echo(k: Kernel, text: string, path: string): MaySleep<number> {
  const file = yield* k.m.vfs.open(k, path, O.WRONLY | O.CREAT | O.TRUNC, 0o666);
  if (typeof file === "number") return file;
  const n = yield* k.m.vfs.write(k, file, bytesOf(`${text}\n`));
  yield* k.m.vfs.put(k, file);
  return n;
}

/** Opens what must open. */
export function* open(k: Kernel, path: string, flags: number, mode = 0o666): MaySleep<OpenFile> {
  const file = yield* k.m.vfs.open(k, path, flags, mode);
  if (typeof file === "number") throw new Error(`open ${path}: ${file}`);
  return file;
}

/** The names in a directory, in order, without "." and "..". */
export function* ls(k: Kernel, path: string, max = 4096): MaySleep<string[] | number> {
  const dir = yield* k.m.vfs.open(k, path, O.RDONLY | O.DIRECTORY, 0);
  if (typeof dir === "number") return dir;
  const names: string[] = [];
  for (;;) {
    const records = yield* k.m.vfs.getdents64(k, dir, max);
    if (typeof records === "number") return records;
    if (records.length === 0) break;
    const view = new DataView(records.buffer);
    for (let at = 0; at < records.length; at += view.getUint16(at + 16, true)) {
      let end = at + 19;
      while (records[end] !== 0) end++;
      names.push(textOf(records.subarray(at + 19, end)));
    }
  }
  yield* k.m.vfs.put(k, dir);
  return names.filter((n) => n !== "." && n !== "..");
}
