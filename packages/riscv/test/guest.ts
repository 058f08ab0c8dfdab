import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { exitCodeOf, LinuxMachine, parseOperatorLine, type LinuxOptions, type LinuxResult, type OperatorLine } from "../src/index.js";

const PREBUILT = fileURLToPath(new URL("../../../programs/prebuilt/", import.meta.url));

export interface GuestRun {
  readonly stdout: string;
  readonly stderr: string;
  /** What a shell would report. */
  readonly exitCode: number;
  readonly result: LinuxResult;
  readonly strace: readonly string[];
  /** The operator's lines: what they printed, and `LINE: ERRNO (text)` for those that failed. */
  readonly operator: string;
  readonly failures: readonly string[];
  readonly machine: LinuxMachine;
}

export interface GuestSettings extends Partial<Omit<LinuxOptions, "lines" | "before">> {
  readonly args?: readonly string[];
  readonly lines?: readonly string[];
  readonly before?: readonly string[];
  /** Called with the machine before it runs, and with the strace lines as they will come. */
  readonly prepare?: (machine: LinuxMachine, strace: readonly string[]) => void;
}

function programBytes(name: string): Uint8Array {
  return readFileSync(`${PREBUILT}${name}`);
}

function parseLine(text: string): OperatorLine {
  const line = parseOperatorLine(text);
  if (typeof line === "string") throw new Error(`${text}: ${line}`);
  return line;
}

/** Runs a program of programs/prebuilt on a small machine. */
export function runGuest(name: string, settings: GuestSettings = {}): GuestRun {
  const { args, lines, before, prepare, ...rest } = settings;
  const bytes = rest.bytes ?? programBytes(name);
  const out = { stdout: "", stderr: "", operator: "" };
  const failures: string[] = [];
  const strace: string[] = [];
  const decode = (part: Uint8Array): string => Buffer.from(part).toString("latin1");
  const machine = new LinuxMachine({
    memoryBytes: 64 * 2 ** 20,
    swapBytes: 64 * 2 ** 20,
    cpus: 2,
    seed: 1,
    bytes,
    path: `/bin/${name}`,
    argv: [name, ...(args ?? [])],
    env: ["HOME=/"],
    stdout: (part) => (out.stdout += decode(part)),
    stderr: (part) => (out.stderr += decode(part)),
    strace: (line) => strace.push(line),
    lines: (lines ?? []).map(parseLine),
    before: (before ?? []).map(parseLine),
    operatorOutput: { stdout: (part) => (out.operator += decode(part)), failure: (message) => failures.push(message) },
    ...rest,
  });
  prepare?.(machine, strace);
  const result = machine.run();
  return { ...out, failures, strace, result, exitCode: exitCodeOf(result), machine };
}
