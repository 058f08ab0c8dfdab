import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, statSync, writeSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import { FtraceText, PerfettoTrace, TraceWriter, type Digest, type TraceConsumer, type TraceHead } from "@faultline/trace";
import { firstLine, UserError } from "./failure.js";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "part of the path is no folder",
  EISDIR: "is a directory",
  EACCES: "may not be written",
  EPERM: "may not be written",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be too large",
};

function complaint(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return new UserError(`${path}: ${REASONS[code] ?? firstLine(error)}`);
}

/** Whether two paths lead to one file that is there. */
export function isSameFile(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one !== undefined && other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

/** A file that is written from its beginning to its end. What goes wrong is a `UserError`. */
export class OutputFile {
  bytes = 0;
  private readonly fd: number;
  private open = true;

  /** `source`: what is being read meanwhile, and must not be written over. */
  constructor(
    readonly path: string,
    source: string,
  ) {
    try {
      if (isSameFile(path, source)) throw new UserError(`${path}: is the file that is read from`);
      this.fd = openSync(path, "w");
    } catch (error) {
      throw complaint(path, error);
    }
  }

  write(bytes: Uint8Array): void {
    this.put(bytes, null);
    this.bytes += bytes.length;
  }

  /** Writes over the beginning; nothing where the file is a pipe or the like. */
  rewriteStart(text: string): void {
    if (fstatSync(this.fd).isFile()) this.put(new TextEncoder().encode(text), 0);
  }

  close(): void {
    if (this.open) closeSync(this.fd);
    this.open = false;
  }

  private put(bytes: Uint8Array, at: number | null): void {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done, bytes.length - done, at === null ? null : at + done);
    } catch (error) {
      throw complaint(this.path, error);
    }
  }
}

/** SHA-256 as Node has it: several times as fast as what runs everywhere. */
export function nodeDigest(): Digest {
  const hash = createHash("sha256");
  return { update: (bytes) => hash.update(bytes), hex: () => hash.digest("hex") };
}

/** What the end of a file's name asks for. */
export function formatOf(path: string): "text" | "perfetto" | "compact" {
  if (path.endsWith(".txt")) return "text";
  return path.endsWith(".pftrace") ? "perfetto" : "compact";
}

/** A .fltrace file. */
export function compactFile(file: OutputFile, head: TraceHead): TraceWriter {
  return new TraceWriter(
    { write: (bytes) => file.write(bytes), deflate: (bytes) => deflateRawSync(bytes, { level: 1 }), digest: nodeDigest() },
    head,
  );
}

/** A consumer of events that writes another format, and completes it. */
export interface Exporter extends TraceConsumer {
  finish(): void;
}

/** Text is written in pieces of this many characters. */
const TEXT_CHUNK = 1 << 16;

function textExporter(file: OutputFile, cpus: number): Exporter {
  let pending = "";
  const encoder = new TextEncoder();
  const flush = (): void => {
    file.write(encoder.encode(pending));
    pending = "";
  };
  const text = new FtraceText((part) => {
    pending += part;
    if (pending.length >= TEXT_CHUNK) flush();
  }, cpus);
  return {
    name: (...args) => text.name(...args),
    event: (...args) => text.event(...args),
    finish: () => {
      flush();
      file.rewriteStart(text.finalPreamble());
    },
  };
}

const BYTES_CHUNK = 1 << 16;

function perfettoExporter(file: OutputFile, locks: boolean): Exporter {
  const buffer = new Uint8Array(BYTES_CHUNK);
  let used = 0;
  const flush = (): void => {
    file.write(buffer.subarray(0, used));
    used = 0;
  };
  const perfetto = new PerfettoTrace((bytes) => {
    if (used + bytes.length > buffer.length) flush();
    if (bytes.length > buffer.length) file.write(bytes);
    else {
      buffer.set(bytes, used);
      used += bytes.length;
    }
  }, locks);
  return {
    name: (...args) => perfetto.name(...args),
    event: (...args) => perfetto.event(...args),
    finish: () => {
      perfetto.finish();
      flush();
    },
  };
}

/** Writes the format that the file's name asks for; null for our own. */
export function exporterFor(file: OutputFile, head: TraceHead): Exporter | null {
  switch (formatOf(file.path)) {
    case "text":
      return textExporter(file, head.cpus);
    case "perfetto":
      return perfettoExporter(file, head.functions);
    case "compact":
      return null;
  }
}
