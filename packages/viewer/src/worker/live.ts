import { findingOf, parseSchedule, replay, type Scenario } from "@faultline/checker";
import { Errno, resolvePatches, type EventSink, type LockObserver, type Machine, type OverlayFactory } from "@faultline/kernel";
import { LinuxMachine, parseElf, ScenarioGuests, type GuestProgram, type LoadFailure } from "@faultline/riscv";
import { EVERY_EVENT, FORMAT, KeyframingWriter, StepCounter, Tracer, TraceWriter, type KeyframeSpacing, type TraceEnd, type TraceFinding, type TraceHead } from "@faultline/trace";
import type { KernelChoice, Launch, Source } from "../core/protocol.js";

/* What runs the engine. It has nothing of a browser's: tests run it on Node. */

/** A run that has been recorded as a .fltrace file, and what else is known of it. */
export interface Recorded {
  readonly bytes: Uint8Array;
  /** What a program wrote. */
  readonly output: string;
}

/** Something that whoever asked can put right. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

const MIB = 2 ** 20;
/** Machines of programs, as those of `npm run test:browser`. */
const MEMORY = 64 * MIB;
const SWAP = 32 * MIB;
/** Turns of the CPUs between two looks at how long it has gone on. */
const TURNS = 2000;
/** A run is cut off here: `faultline run --trace` writes longer ones to a file. */
const LIVE_EVENTS_MAX = 1 << 21;
/** Small machines are looked at closely. */
const OFTEN: KeyframeSpacing = { first: 16, each: 128, last: 1 << 16 };
const OUTPUT_MAX = 1 << 16;

type ScenarioSource = Extract<Source, { kind: "scenario" }>;

/**
 * Executes a scenario once, as a schedule says, and records that from the start of its threads.
 * @throws Refusal for a kernel or a schedule that is none
 */
export function recordScenario(source: ScenarioSource, scenario: Scenario, programs: ReadonlyMap<string, Uint8Array>): Recorded {
  const decisions = parseSchedule(source.schedule);
  if (typeof decisions === "string") throw new Refusal(`schedule: ${decisions}`);
  const guests = programs.size === 0 ? undefined : new ScenarioGuests(new Map([...programs].map(([name, bytes]): [string, GuestProgram] => [name, { bytes, image: parseElf(bytes) }])));
  let recording: Recording | null = null;
  let steps: StepCounter | null = null;
  const violation = replay(scenario, decisions, {
    overlays: overlaysOf(source),
    ...(guests === undefined ? {} : { guests }),
    watch: (m) => {
      const begun = new Recording(m, headOf(source, `scenarios/${source.name}.ts`, [scenario.title], m), EVERY_EVENT);
      recording = begun;
      steps = new StepCounter(begun.sink, () => begun.events);
      return { sink: steps, locks: begun.locks };
    },
  });
  const done = recording as Recording | null;
  if (done === null) throw new Refusal(`the setup of this scenario breaks a rule on this kernel: ${violation?.message ?? ""}`);
  const finding = violation === null ? undefined : findingOf(violation, (counted) => steps!.eventAt(counted));
  return { bytes: done.end("exited", finding), output: "" };
}

/**
 * Runs a program on a small machine to its end.
 * @param path as its trace names it
 * @throws Refusal for a kernel that is none, or a file that is no program
 */
export function recordProgram(path: string, launch: Launch, bytes: Uint8Array, progress: (events: number) => void = () => {}): Recorded {
  const name = path.slice(path.lastIndexOf("/") + 1);
  let output = "";
  const decoder = new TextDecoder();
  const write = (part: Uint8Array): void => {
    if (output.length < OUTPUT_MAX) output += decoder.decode(part, { stream: true });
  };
  const linux = new LinuxMachine({
    memoryBytes: MEMORY,
    swapBytes: SWAP,
    cpus: 2,
    seed: launch.seed,
    overlays: overlaysOf(launch),
    release: `${launch.release}.0`,
    ftrace: true,
    bytes,
    path: `/bin/${name}`,
    argv: [name, ...launch.args],
    env: ["HOME=/"],
    stdout: write,
    stderr: write,
  });
  const recording = new Recording(linux.m, headOf(launch, path, launch.args, linux.m), OFTEN);
  linux.m.sink = recording.sink;
  linux.m.locks.observer = recording.locks;
  for (;;) {
    const result = linux.runFor(TURNS);
    if (linux.loadFailure !== null) throw new Refusal(refusalOf(linux.loadFailure));
    if (result !== null) return { bytes: recording.end(result.end), output };
    progress(recording.events);
    if (recording.events > LIVE_EVENTS_MAX) return { bytes: recording.end("interrupted"), output };
  }
}

function refusalOf({ errno, interpreter }: LoadFailure): string {
  if (errno === Errno.ENOMEM) return `a machine of ${MEMORY / MIB} MiB is too small for it`;
  if (interpreter !== null) return "it is dynamically linked, and there are no libraries in a page: link it with -static";
  return `it cannot be loaded: ${Errno[errno] ?? `errno ${errno}`}`;
}

function overlaysOf({ release, without }: KernelChoice): readonly OverlayFactory[] {
  const overlays = resolvePatches({ release, without });
  if (typeof overlays === "string") throw new Refusal(overlays);
  return overlays;
}

function headOf({ release, without }: KernelChoice, program: string, args: readonly string[], { config }: Machine): TraceHead {
  const { frames, swapSlots, cpus, seed } = config;
  return { format: FORMAT, program, args, release, without, patches: [], memory: frames * 4096, swap: swapSlots * 4096, cpus, seed, before: [], lines: [], functions: true };
}

/** A trace in memory. */
class Recording {
  readonly sink: EventSink;
  readonly locks: LockObserver;
  private readonly parts: Uint8Array[] = [];
  private readonly writer: TraceWriter;
  private readonly keyframing: KeyframingWriter;

  constructor(
    private readonly m: Machine,
    head: TraceHead,
    spacing: KeyframeSpacing,
  ) {
    this.writer = new TraceWriter({ write: (bytes) => this.parts.push(bytes.slice()) }, head);
    this.keyframing = new KeyframingWriter(m, this.writer, spacing);
    const tracer = new Tracer(m, this.keyframing);
    this.sink = tracer;
    this.locks = tracer;
    m.ftrace!.emitting = true;
  }

  get events(): number {
    return this.writer.events;
  }

  end(how: TraceEnd["end"], finding?: TraceFinding): Uint8Array {
    this.keyframing.end();
    this.writer.end(how, this.m.now(), finding);
    const bytes = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
