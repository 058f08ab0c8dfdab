import { readSync, writeSync } from "node:fs";
import { firstLine } from "./failure.js";

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Blocks for a moment: a descriptor that somebody set non-blocking was not ready. */
function nap(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
}

/**
 * One of the command's own output streams, written at once, so that what two streams say keeps
 * its order and nothing is lost when the process ends.
 */
export class HostOutput {
  private closed = false;
  private error: string | null = null;

  constructor(private readonly fd: 1 | 2) {}

  /** Why nothing more can be written, other than that nobody reads; null when there is no reason. */
  get failure(): string | null {
    return this.error;
  }

  /** True when it can take no more: what is written since is dropped. */
  get broken(): boolean {
    return this.closed;
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length && !this.closed; ) {
      try {
        done += writeSync(this.fd, bytes, done);
      } catch (error) {
        if (errorCode(error) === "EAGAIN") {
          nap();
          continue;
        }
        this.closed = true;
        if (errorCode(error) !== "EPIPE") this.error = firstLine(error);
      }
    }
  }

  text(text: string): void {
    this.write(new TextEncoder().encode(text));
  }
}

/**
 * Reads the command's standard input when the guest asks for it, so that a program which does not
 * read never waits for a terminal. `interruptible` runs a blocking call such that Ctrl-C ends it.
 */
export class HostInput {
  private ended = false;

  constructor(private readonly interruptible: (call: () => number) => number) {}

  read(max: number): Uint8Array {
    const into = new Uint8Array(max);
    while (!this.ended) {
      try {
        const n = this.interruptible(() => readSync(0, into, 0, max, null));
        if (n === 0) this.ended = true;
        return into.subarray(0, n);
      } catch (error) {
        // A closed descriptor, a folder: there is nothing to read there.
        if (errorCode(error) === "EAGAIN") nap();
        else this.ended = true;
      }
    }
    return new Uint8Array(0);
  }
}
