/// <reference types="vite/client" />
import { explore, type Report, type Scenario } from "@faultline/checker";
import { RELEASES, resolvePatches, type Event, type EventSink } from "@faultline/kernel";
import { exitCodeOf, LinuxMachine, parseElf, ScenarioGuests, type GuestProgram } from "@faultline/riscv";
import { HashingSink } from "@faultline/trace";

/* What runs on Node and in a browser alike: this file and all that it imports has nothing of either. */

const SCENARIOS = import.meta.glob<Scenario>("../../scenarios/*.ts", { import: "default", eager: true });

/** Schedules of each scenario that are run: the explorer's first ones, which no seed decides. */
const EXECUTIONS = 300;
/** Turns of the CPUs after which a program that does not end by itself has run for long enough. */
const TURNS = 50_000;

/** Hashes points besides events, over many executions: a trace has no points, and is of one machine. */
class ExplorationHash implements EventSink {
  private high = 0x9e3779b9;
  private low = 0x811c9dc5;
  events = 0;

  point(executor: number, op: number, object: number): void {
    this.add(executor);
    this.add(op);
    this.add(object);
  }

  emit(event: Event, ...args: number[]): void {
    this.events++;
    this.add(~event);
    for (const arg of args) this.add(arg);
  }

  text(): string {
    return [this.high, this.low].map((n) => (n >>> 0).toString(16).padStart(8, "0")).join("");
  }

  private add(n: number): void {
    this.low = Math.imul(this.low ^ n, 0x01000193);
    this.low ^= this.low >>> 15;
    this.high = Math.imul(this.high ^ n ^ this.low, 0x85ebca6b);
    this.high ^= this.high >>> 13;
  }
}

/** What a scenario or a program did, to be compared as it is. */
export interface ScenarioOutcome {
  readonly hash: string;
  readonly events: number;
  readonly report: Report;
}

export interface ProgramOutcome {
  readonly hash: string;
  readonly events: number;
  /** What a shell would report; null when it still ran after `TURNS`. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly strace: string;
  readonly dmesg: readonly string[];
  /** Nanoseconds of machine time, and instructions of each CPU. */
  readonly time: number;
  readonly instructions: readonly number[];
}

/** Each scenario with each release, as `explored` takes them. */
export function scenarioCases(): [file: string, release: string][] {
  const files = Object.keys(SCENARIOS).sort();
  return files.flatMap((file) => RELEASES.map((r): [string, string] => [file, r.name]));
}

/** The files of a scenario's programs, relative to scenarios/. */
export function programsOf(file: string): string[] {
  return Object.values(SCENARIOS[file]!.threads).flatMap((thread) => ("elf" in thread ? [thread.elf] : []));
}

function decode(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** Explores a scenario, of which the programs are given in base64. */
export function explored(file: string, release: string, programs: Readonly<Record<string, string>>): ScenarioOutcome {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const sink = new ExplorationHash();
  const images = Object.entries(programs).map(([name, base64]): [string, GuestProgram] => {
    const bytes = decode(base64);
    return [name, { bytes, image: parseElf(bytes) }];
  });
  const guests = new ScenarioGuests(new Map(images));
  const report = explore(SCENARIOS[file]!, { overlays, guests, preemptions: 3, executionsMax: EXECUTIONS, sink });
  return { hash: sink.text(), events: sink.events, report };
}

/** Runs a program, given in base64, on a small machine. */
export function ran(name: string, args: readonly string[], base64: string, seed: number): ProgramOutcome {
  const bytes = decode(base64);
  const out = { stdout: "", stderr: "", strace: "" };
  const append = (part: Uint8Array): string => Array.from(part, (byte) => String.fromCharCode(byte)).join("");
  const linux = new LinuxMachine({
    memoryBytes: 64 * 2 ** 20,
    swapBytes: 32 * 2 ** 20,
    cpus: 2,
    seed,
    bytes,
    path: `/bin/${name}`,
    argv: [name, ...args],
    env: ["HOME=/"],
    stdout: (part) => (out.stdout += append(part)),
    stderr: (part) => (out.stderr += append(part)),
    strace: (line) => (out.strace += `${line}\n`),
  });
  const sink = new HashingSink(linux.m);
  linux.m.sink = sink;
  const result = linux.runFor(TURNS);
  return {
    hash: sink.hash(),
    events: sink.events,
    exitCode: result === null ? null : exitCodeOf(result),
    ...out,
    dmesg: linux.m.dmesg.lines,
    time: linux.m.now(),
    instructions: linux.cpus.map((cpu) => cpu.hart.instret),
  };
}
