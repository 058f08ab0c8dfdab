import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { LinuxMachine, type LinuxOptions } from "@faultline/riscv";

/** A small machine with one of programs/prebuilt on it. */
export function guest(name: string, args: readonly string[] = [], options: Partial<LinuxOptions> = {}): LinuxMachine {
  const bytes = readFileSync(fileURLToPath(new URL(`../../../programs/prebuilt/${name}`, import.meta.url)));
  return new LinuxMachine({
    memoryBytes: 32 * 2 ** 20,
    swapBytes: 16 * 2 ** 20,
    cpus: 2,
    seed: 1,
    bytes,
    path: name,
    argv: [name, ...args],
    env: [],
    stdout: () => {},
    stderr: () => {},
    ...options,
  });
}
