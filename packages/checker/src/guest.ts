import type { Executor, Kernel, MaySleep } from "@faultline/kernel";

/**
 * Runs the programs of a scenario. Processors and file formats are none of the explorer's business:
 * whoever has them passes one of these.
 */
export interface Guests {
  /**
   * For one machine, on which nothing has run yet, with all but its devices in /dev. `write` gets what a thread's program writes to its standard output and standard error.
   */
  machine(k: Kernel, write: (thread: string, bytes: Uint8Array) => void): GuestMachine;
}

/** The programs of one machine. What it keeps from one execution to the next is part of the checkpoint. */
export interface GuestMachine {
  /** Loads a thread's program into the current task's address space: null, or what is wrong with it, to stand behind its name. */
  load(thread: string, elf: string, args: readonly string[]): MaySleep<string | null>;
  /** An execution begins: processors as they were made. */
  begin(): void;
  /** Starts what was loaded for a thread. `ended` is told when its process has: null for status 0, else how ("exits with status 1"). */
  start(thread: string, executor: Executor, ended: (how: string | null) => void): void;
}

/** What programs have written, a line at a time and with the name of the thread. */
export class GuestOutput {
  private readonly written: { readonly thread: string; readonly bytes: Uint8Array }[] = [];

  write(thread: string, bytes: Uint8Array): void {
    this.written.push({ thread, bytes });
  }

  /** In the order in which the lines began. */
  lines(): string[] {
    const lines: { readonly thread: string; bytes: number[] }[] = [];
    const open = new Map<string, number[]>();
    for (const { thread, bytes } of this.written) {
      for (const byte of bytes) {
        let line = open.get(thread);
        if (line === undefined) {
          open.set(thread, (line = []));
          lines.push({ thread, bytes: line });
        }
        if (byte === NEWLINE) open.delete(thread);
        else line.push(byte);
      }
    }
    const decoder = new TextDecoder();
    return lines.map(({ thread, bytes }) => `${thread}: ${decoder.decode(Uint8Array.from(bytes))}`);
  }
}

const NEWLINE = 10;
