import { spawnSync } from "node:child_process";
import { EOL } from "node:os";
import { UserError } from "./failure.js";

/** A compiler, and how to get it where it is missing. */
export interface Compiler {
  readonly command: string;
  readonly install: string;
}

export const NATIVE: Compiler = { command: process.env["CC"] ?? "cc", install: "Debian: apt install gcc libc6-dev" };
export const CROSS: Compiler = {
  command: process.env["RISCV_CC"] ?? "riscv64-linux-gnu-gcc",
  install: "Debian: apt install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
};

const FLAGS = ["-O2", "-static", "-pthread"];

/**
 * Compiles one C file into one static program. What the compiler has to say comes back as it says it.
 * @throws UserError when there is no such compiler, or no program came of it
 */
export function compile({ command, install }: Compiler, source: string, out: string, flags: readonly string[]): string {
  const { status, error, stderr, signal } = spawnSync(command, [...FLAGS, ...flags, "-o", out, source], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"], maxBuffer: 2 ** 26 });
  if (error !== undefined) {
    const missing = "code" in error && error.code === "ENOENT";
    throw new UserError(missing ? `${command} is not installed (${install})` : `${command}: ${error.message}`);
  }
  if (status !== 0) throw new CompileError(stderr, status === null ? `${command} was ended by ${signal ?? "a signal"}` : `${command} cannot make a program of ${source}`);
  return stderr;
}

/** What the compiler says, and then what that means. */
export class CompileError extends UserError {
  constructor(
    readonly output: string,
    message: string,
  ) {
    super(message);
  }

  /** As it came, from the beginning of a line to the end of one. */
  get text(): string {
    return this.output === "" || this.output.endsWith("\n") ? this.output : this.output + EOL;
  }
}
