import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { constants, release as hostRelease, tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { OverlayFactory } from "@faultline/kernel";
import { LinuxMachine, type OperatorOutput } from "@faultline/riscv";
import { compile, CompileError, CROSS, NATIVE } from "./compile.js";
import { OutputComparison, type LineDifference } from "./diff_output.js";
import { EXIT_INTERRUPTED, UserError } from "./failure.js";
import { HostInput, HostOutput } from "./host_io.js";
import { Interrupt } from "./interrupt.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import { LikeHost } from "./like_host.js";
import { ENVIRONMENT, readProgram, TURNS } from "./run.js";

export interface DiffOptions extends KernelOptions {
  readonly memory: number;
  readonly swap: number;
  readonly cpus: number;
  readonly nodes: number;
  readonly seed: number;
  readonly likeHost?: boolean;
  /** For both compilers, separated by blanks. */
  readonly cflags: readonly string[];
  /** Seconds of this computer's time that either run may take. */
  readonly timeout: number;
}

/** As diff(1). */
const EXIT_DIFFERENT = 1;
const EXIT_TROUBLE = 2;
/** Output beyond that is not compared. */
const OUTPUT_MAX = 2 ** 26;

/** What a run left behind. */
interface Run {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** `status 3`, `SIGSEGV`. */
  readonly end: string;
}

/** What was printed on one stream, up to a bound. */
class Captured {
  private readonly parts: Buffer[] = [];
  private length = 0;

  add(bytes: Uint8Array): void {
    if (this.full) return;
    this.parts.push(Buffer.from(bytes));
    this.length += bytes.length;
  }

  get full(): boolean {
    return this.length >= OUTPUT_MAX;
  }

  get text(): string {
    return Buffer.concat(this.parts).toString("latin1");
  }
}

/** Runs a C program natively and as a guest, and shows where they first differ; returns the exit status. */
export async function diff(source: string, args: readonly string[], options: DiffOptions): Promise<number> {
  const stderr = new HostOutput(2);
  const interrupt = new Interrupt();
  const folder = mkdtempSync(join(tmpdir(), "faultline-diff-"));
  try {
    return await compare(source, args, options, { folder, interrupt, stderr });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (error instanceof CompileError) stderr.text(error.text);
    stderr.text(`faultline: ${error.message}\n`);
    return EXIT_TROUBLE;
  } finally {
    interrupt.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Surroundings {
  readonly folder: string;
  readonly interrupt: Interrupt;
  readonly stderr: HostOutput;
}

async function compare(source: string, args: readonly string[], options: DiffOptions, { folder, interrupt, stderr }: Surroundings): Promise<number> {
  if (process.platform !== "linux") throw new UserError(`diff needs Linux underneath, and this is ${process.platform}`);
  if (statSync(source, { throwIfNoEntry: false })?.isFile() !== true) throw new UserError(`${source}: no such file`);
  const { overlays } = await overlaysOf(options);
  const host = options.likeHost === true ? new LikeHost() : null;
  const name = basename(source, extname(source));
  const [native, cross] = [join(folder, "native"), join(folder, "riscv64")];
  const flags = options.cflags.flatMap((words) => words.split(/\s+/).filter((word) => word !== ""));
  stderr.text(compile(NATIVE, source, native, flags));
  compile(CROSS, source, cross, flags);
  const input = readAll();
  const argv = [`/bin/${name}`, ...args];

  const limits = { timeout: options.timeout, interrupt };
  const ours = await runNatively(native, argv, input, folder, limits);
  const theirs = ours === null ? null : await runAsGuest(cross, argv, input, options, overlays, host, limits);
  for (const line of host?.missing ?? []) stderr.text(`faultline: --like-host: ${line}\n`);
  if (ours === null || theirs === null) return EXIT_INTERRUPTED;
  const difference = describe(ours, theirs, options.release);
  if (difference === null) return 0;
  const again = await runNatively(native, argv, input, folder, limits);
  const stdout = new HostOutput(1);
  stdout.text(difference);
  if (again !== null && describe(ours, again, options.release) !== null) stdout.text("Two runs of it on Linux differ as well: it may be the program's own doing.\n");
  return EXIT_DIFFERENT;
}

/** All of the command's standard input, which both runs get; nothing where a person would have to type it. */
function readAll(): Uint8Array {
  if (process.stdin.isTTY) return new Uint8Array(0);
  const from = new HostInput((call) => call());
  const parts: Uint8Array[] = [];
  for (let part = from.read(65_536); part.length > 0; part = from.read(65_536)) parts.push(part);
  return Buffer.concat(parts);
}

interface Limits {
  readonly timeout: number;
  readonly interrupt: Interrupt;
}

/** Null after Ctrl-C. */
function runNatively(file: string, argv: readonly string[], input: Uint8Array, cwd: string, { timeout, interrupt }: Limits): Promise<Run | null> {
  const env = Object.fromEntries(ENVIRONMENT.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  const child = spawn(file, argv.slice(1), { argv0: argv[0]!, cwd, env, stdio: "pipe" });
  const [stdout, stderr] = [new Captured(), new Captured()];
  child.stdout.on("data", (bytes: Buffer) => stdout.add(bytes));
  child.stderr.on("data", (bytes: Buffer) => stderr.add(bytes));
  // A program that does not read it.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeout * 1000);
  return new Promise<Run | null>((resolve, reject) => {
    child.on("error", (error) => reject(new UserError(`the native program cannot be run: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (interrupt.raised) resolve(null);
      else if (late) reject(new UserError(`natively it has not ended after ${timeout} seconds (--timeout)`));
      else resolve({ pid: child.pid ?? 0, stdout: stdout.text, stderr: stderr.text, end: signal ?? `status ${code}` });
    });
  }).finally(() => clearTimeout(timer));
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

/** Null after Ctrl-C. */
async function runAsGuest(
  file: string,
  argv: readonly string[],
  input: Uint8Array,
  options: DiffOptions,
  overlays: readonly OverlayFactory[],
  host: LikeHost | null,
  { timeout, interrupt }: Limits,
): Promise<Run | null> {
  const [stdout, stderr] = [new Captured(), new Captured()];
  const ignored: OperatorOutput = { stdout: () => {}, failure: () => {} };
  let at = 0;
  const linux = new LinuxMachine({
    memoryBytes: options.memory,
    swapBytes: host?.swapBytes ?? options.swap,
    cpus: options.cpus,
    nodes: options.nodes,
    seed: options.seed,
    overlays,
    release: `${options.release}.0`,
    ...readProgram(file),
    path: argv[0]!,
    argv,
    env: ENVIRONMENT,
    stdin: (max) => input.subarray(at, (at += Math.min(max, input.length - at))),
    stdout: (bytes) => stdout.add(bytes),
    stderr: (bytes) => stderr.add(bytes),
    ...(host === null ? {} : { limits: host.limits, before: host.lines, operatorOutput: host.around(ignored) }),
  });
  const start = performance.now();
  for (;;) {
    const result = linux.runFor(TURNS);
    if (result !== null) {
      if (linux.loadFailure !== null) throw new UserError("the machine is too small for the program (--memory)");
      if (result.end === "stuck") throw new UserError(`as a guest it is stuck for good: ${result.stuck.join("; ")}`);
      const { status } = result;
      const end = status === null ? "status 0" : "signal" in status ? signalName(status.signal) : `status ${status.code}`;
      return { pid: linux.program?.pid ?? 0, stdout: stdout.text, stderr: stderr.text, end };
    }
    await setImmediate();
    if (interrupt.raised) return null;
    if (performance.now() - start > timeout * 1000) throw new UserError(`as a guest it has not ended after ${timeout} seconds (--timeout)`);
  }
}

/** What differs first, in words; null where nothing does. */
function describe(native: Run, guest: Run, release: string): string | null {
  const names = [`Linux ${hostRelease().replace(/[^0-9.].*$/, "")}`, `Faultline ${release}`] as const;
  const comparison = new OutputComparison({ native: native.pid, guest: guest.pid });
  for (const stream of ["stdout", "stderr"] as const) {
    const difference = comparison.first(native[stream], guest[stream]);
    if (difference !== null) return describeLine(stream, difference, names);
  }
  if (native.end === guest.end) return null;
  return ["The output is the same, the end is not:", ...pair(names, native.end, guest.end), ""].join("\n");
}

function describeLine(stream: string, { line, native, guest, before, reason }: LineDifference, names: readonly [string, string]): string {
  const shown = (text: string | null): string => text ?? "(nothing more)";
  return [
    `Line ${line} of ${stream === "stdout" ? "standard output" : "standard error"} differs:`,
    ...before.map((text) => `  ${"".padEnd(Math.max(...names.map((name) => name.length)))}  ${text}`),
    ...pair(names, shown(native), shown(guest)),
    ...(reason === undefined ? [] : [`  (${reason})`]),
    "",
  ].join("\n");
}

function pair(names: readonly [string, string], native: string, guest: string): string[] {
  const width = Math.max(...names.map((name) => name.length));
  return [`  ${names[0].padEnd(width)}: ${native}`, `  ${names[1].padEnd(width)}: ${guest}`];
}
