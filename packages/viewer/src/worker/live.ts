import { findingOf, parseSchedule, replay, type Scenario } from "@faultline/checker";
import { Errno, resolvePatches, type EventSink, type LockObserver, type Machine, type OverlayFactory } from "@faultline/kernel";
import { LinuxMachine, parseElf, ScenarioGuests, type GuestProgram, type LoadFailure } from "@faultline/riscv";
import { EVERY_EVENT, FORMAT, KeyframeTaker, KeyframingWriter, StepCounter, Tracer, TraceWriter, type KeyframeSpacing, type NameKind, type TraceConsumer, type TraceEnd, type TraceFinding, type TraceHead } from "@faultline/trace";
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
/** And of a run that is repeated while questions are answered. */
const FEW_TURNS = 200;
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
      const begun = new Recording(m, headOf(source, `scenarios/${source.name}.ts`, [scenario.title], m), (writer) => new KeyframingWriter(m, writer, EVERY_EVENT));
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
  let output = "";
  const decoder = new TextDecoder();
  const linux = machineOf(path, launch, bytes, (part) => {
    if (output.length < OUTPUT_MAX) output += decoder.decode(part, { stream: true });
  });
  const recording = new Recording(linux.m, headOf(launch, path, launch.args, linux.m), (writer) => new KeyframingWriter(linux.m, writer, OFTEN));
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

/** A run that is being repeated. */
export interface Repetition {
  /** Goes on for some milliseconds; a trace once it is where it was to get to. */
  go(): Uint8Array | null;
}

/** Repeats the run of a program up to a step, for a trace with a keyframe after each event from another one on: the same machine does the same. */
export function repeatProgram(path: string, launch: Launch, bytes: Uint8Array, from: number, to: number): Repetition {
  const linux = machineOf(path, launch, bytes, () => {});
  const recording = new Recording(linux.m, headOf(launch, path, launch.args, linux.m), (writer) => new WindowWriter(linux.m, writer, from, to));
  linux.m.sink = recording.sink;
  linux.m.locks.observer = recording.locks;
  return {
    go: () => {
      const result = linux.runFor(FEW_TURNS);
      return result !== null || recording.events > to + 1 ? recording.end("interrupted") : null;
    },
  };
}

function machineOf(path: string, launch: Launch, bytes: Uint8Array, write: (part: Uint8Array) => void): LinuxMachine {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return new LinuxMachine({
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
  return { format: FORMAT, program, args, release, without, patches: [], drivers: [], memory: frames * 4096, swap: swapSlots * 4096, cpus, seed, before: [], lines: [], functions: true };
}

/** Writes a keyframe after each of the events [from, to], and none besides. */
class WindowWriter implements Keyframing {
  private readonly taker: KeyframeTaker;

  constructor(
    private readonly m: Machine,
    private readonly writer: TraceWriter,
    private readonly from: number,
    private readonly to: number,
  ) {
    this.taker = new KeyframeTaker(m);
  }

  name(kind: NameKind, id: number, text: string): void {
    this.writer.name(kind, id, text);
  }

  event(...event: Parameters<TraceConsumer["event"]>): void {
    const { m, writer } = this;
    writer.event(...event);
    // The machine goes on for a while behind what it is repeated for.
    if (writer.events > this.from && writer.events <= this.to + 1) writer.keyframe(this.taker.take(), Math.floor(m.now()));
  }

  end(): void {}
}

/** Puts keyframes between the events that it is given. */
interface Keyframing extends TraceConsumer {
  /** The run is over. */
  end(): void;
}

/** A trace in memory. */
class Recording {
  readonly sink: EventSink;
  readonly locks: LockObserver;
  private readonly parts: Uint8Array[] = [];
  private readonly writer: TraceWriter;
  private readonly keyframing: Keyframing;

  constructor(
    private readonly m: Machine,
    head: TraceHead,
    keyframing: (writer: TraceWriter) => Keyframing,
  ) {
    this.writer = new TraceWriter({ write: (bytes) => this.parts.push(bytes.slice()) }, head);
    this.keyframing = keyframing(this.writer);
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
