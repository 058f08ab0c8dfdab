import { readFileSync, statSync } from "node:fs";
import { basename, posix } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describeErrno, DriverError, Errno } from "@faultline/kernel";
import { ElfError, exitCodeOf, LinuxMachine, MountError, parseElf, type ElfImage, type LinuxResult, type LoadFailure, type OperatorLine, type OperatorOutput } from "@faultline/riscv";
import { describeBug, EXIT_BROKEN_PIPE, EXIT_FAULTLINE, EXIT_INTERRUPTED, EXIT_STUCK, firstLine, UserError } from "./failure.js";
import { HostInput, HostOutput } from "./host_io.js";
import { checkDrivers, loadDrivers } from "./driver_file.js";
import { openMount, type Mount } from "./host_mount.js";
import { Interrupt } from "./interrupt.js";
import { Recording, type RunDescription } from "./recording.js";
import { LikeHost } from "./like_host.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import { callerOf, type UsersModule } from "./user_code.js";
import { formatSize, shellQuote } from "./values.js";

export interface RunOptions extends KernelOptions {
  /** Files of the user's own drivers. */
  readonly driver: readonly string[];
  readonly memory: number;
  readonly swap: number;
  readonly cpus: number;
  readonly nodes: number;
  readonly seed: number;
  readonly before: readonly OperatorLine[];
  readonly do: readonly OperatorLine[];
  readonly doTimeout: number;
  readonly strace?: boolean;
  readonly dmesg?: boolean;
  /** File to write a trace to. */
  readonly trace?: string;
  /** Kernel functions and locks as well. */
  readonly traceFunctions?: boolean;
  readonly pageOwner?: boolean;
  /** Settings of the Linux underneath. */
  readonly likeHost?: boolean;
  /** Directories of the host that the guest has, read-only. */
  readonly mount: readonly Mount[];
}

/** Turns of the CPUs between two looks at the host: some tens of milliseconds. */
export const TURNS = 20_000;

/** What a program finds in its environment: what init gives, and nothing of the host's. */
export const ENVIRONMENT = ["HOME=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"];

export interface Program {
  readonly bytes: Uint8Array;
  readonly image: ElfImage;
}

/** @throws UserError for a file that is not there or cannot be run */
export function readProgram(path: string): Program {
  let bytes: Uint8Array;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new UserError(`${path}: is a directory`);
    // Reading /dev/zero would not end, and a pipe may never have a writer.
    if (!stat.isFile()) throw new UserError(`${path}: is no regular file`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: ${reasonOf(error)}`);
  }
  try {
    return { bytes, image: parseElf(bytes) };
  } catch (error) {
    if (error instanceof ElfError) throw new UserError(`${path} ${error.message}`);
    throw error;
  }
}

/** The pool of huge pages that a machine has unless it is to be like the host, and how much RAM it must have for that. */
const POOL_PAGES = 4;
const POOL_MEMORY_MIN = 2 ** 30;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file: part of the path is not a directory",
  EACCES: "may not be read",
  EPERM: "may not be read",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return REASONS[code] ?? firstLine(error);
}

/** Whether the log may come to say who allocated a page: asked for, or a line takes memory offline. */
function wantsPageOwner(options: RunOptions): boolean {
  if (options.pageOwner === true) return true;
  return [...options.before, ...options.do].some((line) => line.text.includes("/sys/devices/system/memory"));
}

/** The command line that does the same again, every choice spelt out. */
export function replayCommand(options: RunOptions, program: string, args: readonly string[]): string {
  const words = ["faultline", "run", "--release", options.release];
  for (const name of options.without) words.push("--without", name);
  for (const file of options.patch) words.push("--patch", file);
  for (const file of options.driver) words.push("--driver", file);
  words.push("--memory", formatSize(options.memory), "--swap", formatSize(options.swap));
  words.push("--cpus", String(options.cpus), "--nodes", String(options.nodes), "--seed", String(options.seed));
  if (options.likeHost === true) words.push("--like-host");
  if (options.pageOwner === true) words.push("--page-owner");
  for (const { host, guest } of options.mount) words.push("--mount", `${host}:${guest}`);
  for (const line of options.before) words.push("--before", line.text);
  for (const line of options.do) words.push("--do", line.text);
  words.push("--do-timeout", String(options.doTimeout), program, ...args);
  return words.map(shellQuote).join(" ");
}

function headOf(program: string, args: readonly string[], options: RunOptions): RunDescription {
  const { release, without, patch, driver, memory, swap, cpus, seed, before, do: lines } = options;
  const text = (line: OperatorLine): string => line.text;
  return { program, args, release, without, patches: patch, drivers: driver, memory, swap, cpus, seed, before: before.map(text), lines: lines.map(text) };
}

/** In one line, why a program could not be loaded. */
function describeLoadFailure({ errno, interpreter }: LoadFailure, path: string, { memory }: RunOptions): string {
  if (errno === Errno.ENOMEM) return `a machine of ${formatSize(memory)} is too small for ${basename(path)}`;
  if (interpreter === null) return `${path} cannot be loaded: ${describeErrno(errno)}`;
  const name = printable(interpreter);
  const folder = printable(posix.dirname(interpreter));
  const way = `--mount FOLDER:${folder} with the folder of this computer that has it (Debian: ${DEBIAN_SYSROOT}), or link it with -static`;
  if (errno === Errno.ENOENT) return `${path} is dynamically linked, and the guest has no ${name}: ${way}`;
  return `${path} is dynamically linked, and ${name} cannot run it: ${describeErrno(errno)}`;
}

/** Where Debian's libc6-riscv64-cross has the interpreter and the libraries. */
const DEBIAN_SYSROOT = "/usr/riscv64-linux-gnu/lib";

function printable(path: string): string {
  return path.replaceAll(/[^\x20-\x7e]/g, "?");
}

/** Runs a program on a machine; returns the command's exit status. */
export async function run(path: string, args: readonly string[], options: RunOptions): Promise<number> {
  const program = readProgram(path);
  const { overlays, loaded } = await overlaysOf(options);
  const drivers = await loadDrivers(checkDrivers(options.driver));
  const recording = options.trace === undefined ? null : new Recording(options.trace, options.traceFunctions === true, headOf(path, args, options));
  const host = options.likeHost === true ? new LikeHost() : null;
  const interrupt = new Interrupt();
  const stdout = new HostOutput(1);
  const stderr = new HostOutput(2);
  const stdin = new HostInput((call) => interrupt.blocking(call));
  const output: OperatorOutput = {
    stdout: (bytes) => {
      stdout.write(bytes);
    },
    failure: (message) => {
      stderr.text(`${message}\n`);
    },
  };
  let linux: LinuxMachine;
  try {
    linux = new LinuxMachine({
      memoryBytes: options.memory,
      swapBytes: host?.swapBytes ?? options.swap,
      cpus: options.cpus,
      nodes: options.nodes,
      seed: options.seed,
      overlays,
      drivers: drivers.map(({ driver }) => driver),
      ftrace: recording?.functions ?? false,
      pageOwner: wantsPageOwner(options),
      release: `${options.release}.0`,
      ...program,
      path,
      argv: [path, ...args],
      env: ENVIRONMENT,
      mounts: options.mount.map(openMount),
      stdin: (max) => stdin.read(max),
      stdout: (bytes) => {
        stdout.write(bytes);
      },
      stderr: (bytes) => {
        stderr.write(bytes);
      },
      ...(options.strace === true ? { strace: (line) => stderr.text(`${line}\n`) } : {}),
      ...(host === null ? {} : { limits: host.limits }),
      hugePages: host === null && options.memory >= POOL_MEMORY_MIN ? POOL_PAGES : 0,
      before: [...(host?.lines ?? []), ...options.before],
      lines: options.do,
      lineTimeoutSeconds: options.doTimeout,
      operatorOutput: host?.around(output) ?? output,
    });
  } catch (error) {
    if (error instanceof MountError) throw new UserError(`--mount: ${error.message}`);
    if (error instanceof RangeError) {
      throw new UserError(`this computer cannot hold a machine of ${formatSize(options.memory)} and ${formatSize(host?.swapBytes ?? options.swap)} of swap: ${firstLine(error)}`);
    }
    throw error;
  }

  let result: LinuxResult | null = null;
  recording?.start(linux.m);
  try {
    while ((result = linux.runFor(TURNS)) === null) {
      await setImmediate();
      if (interrupt.raised || stdout.broken) break;
      recording?.pause();
    }
    recording?.end(result?.end ?? "interrupted");
  } catch (error) {
    if (error instanceof UserError) throw error;
    recording?.abandon();
    stderr.text(describeEngineFailure(error, linux, [...loaded, ...drivers], replayCommand(options, path, args)));
    return EXIT_FAULTLINE;
  } finally {
    interrupt.dispose();
    for (const line of host?.missing ?? []) stderr.text(`faultline: --like-host: ${line}\n`);
    if (options.dmesg === true) stderr.text(linux.m.dmesg.lines.map((line) => `${line}\n`).join(""));
  }
  if (stdout.failure !== null) throw new UserError(`standard output: ${stdout.failure}`);
  if (result === null && interrupt.raised) {
    const busy = linux.describeBusy();
    if (busy.length > 0) stderr.text(`faultline: interrupted while the kernel ran for ${busy.join(", ")}\n`);
  }
  if (result === null) return interrupt.raised ? EXIT_INTERRUPTED : EXIT_BROKEN_PIPE;
  if (linux.loadFailure !== null) throw new UserError(describeLoadFailure(linux.loadFailure, path, options));
  if (result.end === "stuck") {
    stderr.text("faultline: every thread is stuck for good:\n");
    for (const line of result.stuck) stderr.text(`  ${line}\n`);
    return EXIT_STUCK;
  }
  return exitCodeOf(result);
}

function describeEngineFailure(error: unknown, linux: LinuxMachine, users: readonly UsersModule[], replay: string): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const culprit = callerOf(stack, users);
  if (culprit !== null) return `faultline: ${culprit}: threw while the program ran: ${firstLine(error)}\n`;
  const author = error instanceof DriverError ? users.find((user) => "driver" in user && user.driver.name === error.driver) : undefined;
  if (author !== undefined) return `faultline: driver ${author.file}: ${firstLine(error)}\n`;
  const { m } = linux;
  const task = m.current === null ? "no task" : `${m.current.comm}[${m.current.id}]`;
  const where = `after ${(m.now() / 1e9).toFixed(9)} s of machine time, ${m.executor?.name ?? "no CPU"}, ${task}`;
  return describeBug(error, where, replay);
}
