import { readFileSync } from "node:fs";
import { DEFAULT_RELEASE } from "@faultline/kernel";
import { parseOperatorLine, type OperatorLine } from "@faultline/riscv";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { CheckOptions } from "./check.js";
import type { DiffOptions } from "./diff.js";
import type { DifftestOptions } from "./difftest/command.js";
import { EXIT_FAULTLINE, UserError } from "./failure.js";
import { parseMount, type Mount } from "./host_mount.js";
import type { FuzzOptions } from "./fuzz.js";
import { describePatches } from "./patches.js";
import type { RunOptions } from "./run.js";
import { parseCpus, parseDepth, parseExecutions, parseMemory, parseNodes, parseOperations, parsePort, parsePreemptions, parseReplay, parseRetries, parseSeconds, parseSeed, parseSwap, parseThreads, parseWorkers, STRATEGIES } from "./values.js";
import type { ViewOptions } from "./view.js";

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return manifest.version;
}

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}

function collectLine(text: string, earlier: readonly OperatorLine[]): readonly OperatorLine[] {
  const line = parseOperatorLine(text);
  if (typeof line === "string") throw new InvalidArgumentError(`${line}.`);
  return [...earlier, line];
}

function collectMount(text: string, earlier: readonly Mount[]): readonly Mount[] {
  const mount = parseMount(text);
  if (typeof mount === "string") throw new InvalidArgumentError(`${mount}.`);
  return [...earlier, mount];
}

const RUN_NOTES = `
Options end at PROGRAM; what follows it are its own arguments. SIZE is written as 2G, 512M, 64K or
a number of bytes. A LINE is one of: cat PATH, echo WORDS > PATH, mkdir PATH, kill -SIG PID; $PID is
the program's process. Each line of --do waits until no thread of the program can run; after the
last one the machine is shut down.

The exit status is the program's, 128+N if signal N ended it, 0 after a shutdown by --do, 124 when
every thread is stuck for good, 125 for what Faultline itself has to complain about.

Example:
  faultline run --release 6.14 --memory 3G --swap 3G --do 'cat /proc/$PID/smaps_rollup' \\
      --do 'echo 1G > /sys/fs/cgroup/memory.reclaim' ./program`;

const CHECK_NOTES = `
Strategies:
  exhaustive  every execution that can differ from the others, those with fewest preemptions first
              (the default); with --preemptions N, those with at most so many
  pct         whoever has the highest of random priorities, lowered --depth - 1 times
  walk        at each point, anybody
  random      at each point, somebody else one time in eight

A violation is reported with a schedule as short as could be found, and the command that replays it.
What an exploration that was not complete has learnt is kept (below $XDG_STATE_HOME, or
~/.local/state), and --resume goes on from there, after Ctrl-C or a crash too.

The exit status is 0 when nothing was found, 1 for a violation, 130 after Ctrl-C, 125 for what
Faultline itself has to complain about: a scenario that cannot be run, say.

Example:
  faultline check scenarios/fault-exclusive-dontneed.ts --without exclusive-fault-ref`;

const FUZZ_NOTES = `
Random programs of a few threads on CPUs and devices run on random schedules, every rule checked. The
first that breaks one is made as small as can be and written to a scenario file, which 'faultline
check' takes. The same seed and the same number of --executions give the same result.

The exit status is 0 when nothing was found, 1 for a violation, 130 after Ctrl-C, 125 for what
Faultline itself has to complain about.

Example:
  faultline fuzz --seconds 60 --without exclusive-fault-ref`;

const DIFF_NOTES = `
PROGRAM.c is compiled twice, with $CC (default: cc) and $RISCV_CC (default: riscv64-linux-gnu-gcc), -O2
-static -pthread, and runs on the Linux underneath and on a machine, with the same arguments and input.
An address may stand for another address, a process id (after a word such as pid) for another id, each
always for the same one; a number with a unit of time for any other. All else has to be equal.

The exit status is 0 when nothing differs, 1 when something does, 2 for trouble, 130 after Ctrl-C.

Example:
  faultline diff --like-host program.c`;

/** The command line, each command loaded only when it is run; `finish` takes the exit status of the command that was run. */
function buildProgram(finish: (status: number) => void): Command {
  const program = new Command("faultline")
    .description("Linux's heterogeneous memory management, running: programs for riscv64 Linux on a simulated machine")
    .version(`faultline ${version()}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(complaint(text)) });

  const command = (name: string): Command => program.command(name).helpOption("-h, --help", "print this help");

  command("run")
    .description("run a riscv64 Linux program")
    .argument("<PROGRAM>", "a statically linked riscv64 ELF file")
    .argument("[ARGS...]", "its arguments")
    .usage("[options] PROGRAM [ARGS...]")
    .passThroughOptions()
    .option("--release <RELEASE>", "the kernel: 7.3 (default), 6.18, 6.14 or 6.1", DEFAULT_RELEASE)
    .option("--without <PATCH>", "undo one patch (see 'faultline patches'); repeatable", collect, [])
    .option("--patch <FILE.ts>", "apply an overlay of your own; repeatable", collect, [])
    .option("--driver <FILE.ts>", "a driver of your own (docs/drivers.md); repeatable", collect, [])
    .option("--memory <SIZE>", "RAM, up to 4G (default: 2G)", parseMemory, 2 ** 31)
    .option("--swap <SIZE>", "swap space, 0 for none (default: 2G)", parseSwap, 2 ** 31)
    .option("--cpus <N>", "CPUs, up to 16 (default: 2)", parseCpus, 2)
    .option("--nodes <N>", "NUMA nodes that CPUs and RAM are divided among, up to 8 (default: 1)", parseNodes, 1)
    .option("--seed <N>", "the seed of every choice that the machine makes (default: 1)", parseSeed, 1)
    .option("--mount <HOST:GUEST>", "a directory of this computer, read-only in the guest; repeatable", collectMount, [])
    .option("--before <LINE>", "do this before the program starts; repeatable", collectLine, [])
    .option("--do <LINE>", "do this once nothing else can run; repeatable", collectLine, [])
    .option("--do-timeout <SECONDS>", "machine time that a line may take (default: 60)", parseSeconds, 60)
    .option("--page-owner", "keep for each page who allocated it, for the kernel log; slower, and on by itself when a line names /sys/devices/system/memory")
    .option("--like-host", "give the machine the swap (instead of --swap), huge page settings, overcommit and limits of the Linux underneath")
    .option("--strace", "print the program's system calls to standard error")
    .option("--dmesg", "print the kernel log to standard error at the end")
    .option("--trace <FILE>", "record the run: FILE.fltrace, FILE.txt (ftrace's text) or FILE.pftrace (Perfetto)")
    .option("--trace-functions", "record kernel functions and locks as well; always so for FILE.pftrace")
    .configureHelp({ optionDescription: (option) => option.description })
    .addHelpText("after", RUN_NOTES)
    .action(async (path: string, args: string[], options: RunOptions) => {
      const { run } = await import("./run.js");
      finish(await run(path, args, options));
    });

  command("check")
    .description("explore the schedules of a scenario, and check each of them")
    .argument("<SCENARIO.ts>", "a module whose default export is a scenario (docs/checking.md)")
    .addOption(new Option("--strategy <NAME>", `how schedules are chosen: ${STRATEGIES.join(", ")}`).choices(STRATEGIES).default("exhaustive"))
    .option("--preemptions <N>", "of exhaustive: preemptions in one schedule at most (default: any number)", parsePreemptions)
    .option("--retries <N>", "of exhaustive: turns of a retry loop in one call, beyond which a schedule is followed no further (default: 1)", parseRetries)
    .option("--depth <N>", "of pct: orderings that a bug may need (default: 3)", parseDepth)
    .option("--seed <N>", "of pct, walk and random: the seed of what they draw (default: 1)", parseSeed)
    .option("--executions <N>", "stop after so many executions (pct, walk and random: 10000, unless --seconds is given)", parseExecutions)
    .option("--seconds <SECONDS>", "stop after so much time", parseSeconds)
    .option("--workers <N>", "threads that share the search; what is found does not depend on it (default: as many as there are CPUs)", parseWorkers)
    .option("--resume", "go on where an earlier exploration of the same has got to")
    .option("--release <RELEASE>", "the kernel: 7.3 (default), 6.18, 6.14 or 6.1", DEFAULT_RELEASE)
    .option("--without <PATCH>", "undo one patch (see 'faultline patches'); repeatable", collect, [])
    .option("--patch <FILE.ts>", "apply an overlay of your own; repeatable", collect, [])
    .option("--driver <FILE.ts>", "a driver of your own (docs/drivers.md); repeatable", collect, [])
    .option("--replay <SCHEDULE>", "run one schedule alone, as a violation was reported with", parseReplay)
    .option("--trace <FILE>", "record the execution that breaks a rule: FILE.fltrace, FILE.txt or FILE.pftrace")
    .option("--emit-c <FILE.c>", "write a C program that pushes the race which breaks a rule on a real kernel")
    .option("--view", "open the execution that breaks a rule in the viewer (docs/viewer.md), at the step that showed it")
    .option("--port <N>", "with --view: the port of 127.0.0.1 to serve it at (default: any that is free)", parsePort, 0)
    .option("--no-open", "with --view: print the address, and start no browser")
    .option("--json", "print the result as one JSON object")
    .configureHelp({ optionDescription: (option) => option.description })
    .addHelpText("after", CHECK_NOTES)
    .action(async (file: string, options: CheckOptions) => {
      const { check } = await import("./check.js");
      finish(await check(file, options));
    });

  command("fuzz")
    .description("run random programs on random schedules, and check each of them")
    .option("--seconds <SECONDS>", "stop after so much time (default: 60, unless --executions is given)", parseSeconds)
    .option("--executions <N>", "stop after so many executions", parseExecutions)
    .option("--threads <N>", "threads of each program, up to 8 (default: 2 to 4)", parseThreads)
    .option("--seed <N>", "the seed of programs and schedules (default: 1)", parseSeed)
    .option("--release <RELEASE>", "the kernel: 7.3 (default), 6.18, 6.14 or 6.1", DEFAULT_RELEASE)
    .option("--without <PATCH>", "undo one patch (see 'faultline patches'); repeatable", collect, [])
    .option("--patch <FILE.ts>", "apply an overlay of your own; repeatable", collect, [])
    .option("--out <FILE.ts>", "write the scenario of what is found here (default: fuzz-SEED.ts, or another name if there is one)")
    .option("--json", "print the result as one JSON object")
    .configureHelp({ optionDescription: (option) => option.description })
    .addHelpText("after", FUZZ_NOTES)
    .action(async (options: FuzzOptions) => {
      const { fuzz } = await import("./fuzz.js");
      finish(await fuzz(options));
    });

  command("diff")
    .description("run a C program natively and as a guest, and show where they first differ")
    .argument("<PROGRAM.c>", "a C program of one file")
    .argument("[ARGS...]", "its arguments")
    .usage("[options] PROGRAM.c [ARGS...]")
    .passThroughOptions()
    .option("--like-host", "give the machine the host's swap, huge page settings, overcommit and limits")
    .option("--cflags <FLAGS>", "flags for both compilers; repeatable", collect, [])
    .option("--timeout <SECONDS>", "time that either run may take (default: 60)", parseSeconds, 60)
    .option("--release <RELEASE>", "the kernel: 7.3 (default), 6.18, 6.14 or 6.1", DEFAULT_RELEASE)
    .option("--without <PATCH>", "undo one patch (see 'faultline patches'); repeatable", collect, [])
    .option("--patch <FILE.ts>", "apply an overlay of your own; repeatable", collect, [])
    .option("--memory <SIZE>", "RAM, up to 4G (default: 2G)", parseMemory, 2 ** 31)
    .option("--swap <SIZE>", "swap space, 0 for none (default: 2G)", parseSwap, 2 ** 31)
    .option("--cpus <N>", "CPUs, up to 16 (default: 2)", parseCpus, 2)
    .option("--nodes <N>", "NUMA nodes that CPUs and RAM are divided among, up to 8 (default: 1)", parseNodes, 1)
    .option("--seed <N>", "the seed of every choice that the machine makes (default: 1)", parseSeed, 1)
    .configureHelp({ optionDescription: (option) => option.description })
    .addHelpText("after", DIFF_NOTES)
    .action(async (source: string, args: string[], options: DiffOptions) => {
      const { diff } = await import("./diff.js");
      finish(await diff(source, args, options));
    });

  command("trace")
    .description("say what a trace has recorded, or write it in another format")
    .argument("<FILE>", "a .fltrace file of 'faultline run --trace'")
    .option("--to <FILE>", "write it as FILE.txt (ftrace's text) or FILE.pftrace (Perfetto)")
    .action(async (file: string, options: { to?: string }) => {
      const { trace } = await import("./trace.js");
      finish(await trace(file, options.to));
    });

  command("view")
    .description("see a recording, a scenario or a program in a browser, step by step")
    .argument("[FILES...]", "a .fltrace file of 'faultline run --trace' or 'faultline check --trace', or two to compare")
    .option("--port <N>", "the port of 127.0.0.1 to serve it at (default: any that is free)", parsePort, 0)
    .option("--no-open", "print the address, and start no browser")
    .configureHelp({ optionDescription: (option) => option.description })
    .action(async (files: string[], options: ViewOptions) => {
      const { view } = await import("./view.js");
      finish(await view(files, options));
    });

  command("patches")
    .description("list the releases and patches that are known, and how far each is modelled")
    .action(() => {
      process.stdout.write(describePatches());
      finish(0);
    });

  program
    .command("difftest", { hidden: true })
    .description("compare the Linux underneath and a machine by random operations (npm run difftest)")
    .option("--seeds <N>", "lists of operations (default: 300)", parseExecutions, 300)
    .option("--from <SEED>", "the first seed (default: 1)", parseSeed, 1)
    .option("--operations <N>", "operations of each list, up to 4096 (default: 200)", parseOperations, 200)
    .option("--workers <N>", "threads that share the work (default: as many as there are CPUs)", parseWorkers)
    .option("--max <N>", "stop after so many seeds with a difference (default: 3)", parseExecutions, 3)
    .option("--any-host", "compare with a kernel that is older than what is modelled, too")
    .option("--save <FOLDER>", "write each difference, made small, to a file there, as packages/cli/test/difftest has them")
    .configureHelp({ optionDescription: (option) => option.description })
    .action(async (options: DifftestOptions) => {
      const { difftest } = await import("./difftest/command.js");
      finish(await difftest(options));
    });

  program
    .command("story", { hidden: true })
    .description("device-exclusive memory before and after the series of 2025")
    .action(async () => {
      const { story } = await import("./story.js");
      finish(await story());
    });

  return program;
}

/** One line, whatever was found wrong. */
function complaint(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, "")
    .replaceAll(/\s*\n\s*/g, " ")
    .replace(/^option '(--[\w-]+) .*?' argument '(.*)' is invalid\. (.*)\.$/, "$1 '$2': $3");
  return `faultline: ${line}\n`;
}

/** Runs a command line; returns the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = buildProgram((value) => {
    status = value;
  });
  try {
    if (argv.length <= 2) {
      process.stderr.write(program.helpInformation());
      return EXIT_FAULTLINE;
    }
    await program.parseAsync(argv);
    return status;
  } catch (error) {
    // Commander has printed its complaint; help and version are no failures.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_FAULTLINE;
    if (error instanceof UserError) {
      process.stderr.write(complaint(error.message));
      return EXIT_FAULTLINE;
    }
    throw error;
  }
}
