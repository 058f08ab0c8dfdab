import { raceDiagram, replay, parseSchedule, RULES, type Scenario } from "@faultline/checker";
import { Event, resolvePatches, type EventSink, type LockObserver, type Machine, type OverlayFactory } from "@faultline/kernel";
import { LinuxMachine, parseElf, ScenarioGuests, type GuestProgram } from "@faultline/riscv";
import { EVERY_EVENT, FORMAT, KeyframingWriter, Tracer, TraceWriter, type KeyframeSpacing, type TraceEnd, type TraceHead } from "@faultline/trace";
import type { Broken, Source } from "../core/protocol.js";

/* What runs the engine. It has nothing of a browser's: tests run it on Node. */

/** A run that has been recorded as a .fltrace file, and what else is known of it. */
export interface Recorded {
  readonly bytes: Uint8Array;
  readonly broken: Broken | null;
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
type ProgramSource = Extract<Source, { kind: "program" }>;

/**
 * Executes a scenario once, as a schedule says, and records that from the start of its threads.
 * @throws Refusal for a kernel or a schedule that is none
 */
export function recordScenario(source: ScenarioSource, scenario: Scenario, programs: ReadonlyMap<string, Uint8Array>): Recorded {
  const decisions = parseSchedule(source.schedule);
  if (typeof decisions === "string") throw new Refusal(`schedule: ${decisions}`);
  const guests = programs.size === 0 ? undefined : new ScenarioGuests(new Map([...programs].map(([name, bytes]): [string, GuestProgram] => [name, { bytes, image: parseElf(bytes) }])));
  let recording: Recording | null = null;
  const violation = replay(scenario, decisions, {
    overlays: overlaysOf(source),
    ...(guests === undefined ? {} : { guests }),
    watch: (m) => {
      recording = new Recording(m, headOf(source, `scenarios/${source.name}.ts`, [scenario.title], m), EVERY_EVENT);
      return { sink: recording, locks: recording.locks };
    },
  });
  const done = recording as Recording | null;
  if (done === null) throw new Refusal(`the setup of this scenario breaks a rule on this kernel: ${violation?.message ?? ""}`);
  const bytes = done.end("exited");
  if (violation === null) return { bytes, broken: null, output: "" };
  const { kind, message, decisive, about } = violation;
  const page = about?.mm === undefined || about.vpn === undefined ? null : { mm: about.mm, vpn: about.vpn };
  return { bytes, broken: { kind, rule: RULES[kind], message, diagram: raceDiagram(violation), step: done.stepAt(decisive), page }, output: violation.output.join("\n") };
}

/**
 * Runs a program on a small machine to its end.
 * @throws Refusal for a kernel that is none, or a file that is no program
 */
export function recordProgram(source: ProgramSource, bytes: Uint8Array, progress: (events: number) => void = () => {}): Recorded {
  let output = "";
  const decoder = new TextDecoder();
  const write = (part: Uint8Array): void => {
    if (output.length < OUTPUT_MAX) output += decoder.decode(part, { stream: true });
  };
  const linux = new LinuxMachine({
    memoryBytes: MEMORY,
    swapBytes: SWAP,
    cpus: 2,
    seed: source.seed,
    overlays: overlaysOf(source),
    release: `${source.release}.0`,
    ftrace: true,
    bytes,
    path: `/bin/${source.name}`,
    argv: [source.name, ...source.args],
    env: ["HOME=/"],
    stdout: write,
    stderr: write,
  });
  const recording = new Recording(linux.m, headOf(source, `programs/prebuilt/${source.name}`, source.args, linux.m), OFTEN);
  linux.m.sink = recording;
  linux.m.locks.observer = recording.locks;
  for (;;) {
    const result = linux.runFor(TURNS);
    if (result !== null) return { bytes: recording.end(result.end), broken: null, output };
    progress(recording.events);
    if (recording.events > LIVE_EVENTS_MAX) return { bytes: recording.end("interrupted"), broken: null, output };
  }
}

function overlaysOf({ release, without }: ScenarioSource | ProgramSource): readonly OverlayFactory[] {
  const overlays = resolvePatches({ release, without });
  if (typeof overlays === "string") throw new Refusal(overlays);
  return overlays;
}

function headOf(source: ScenarioSource | ProgramSource, program: string, args: readonly string[], { config }: Machine): TraceHead {
  const { release, without } = source;
  const { frames, swapSlots, cpus, seed } = config;
  return { format: FORMAT, program, args, release, without, patches: [], memory: frames * 4096, swap: swapSlots * 4096, cpus, seed, before: [], lines: [], functions: true };
}

/** A trace in memory. */
class Recording implements EventSink {
  readonly locks: LockObserver;
  private readonly parts: Uint8Array[] = [];
  private readonly writer: TraceWriter;
  private readonly keyframing: KeyframingWriter;
  private readonly tracer: Tracer;
  /** Events ahead of each of the steps that the checker counts: points, and events but for those of functions. */
  private readonly steps: number[] = [];

  constructor(
    private readonly m: Machine,
    head: TraceHead,
    spacing: KeyframeSpacing,
  ) {
    this.writer = new TraceWriter({ write: (bytes) => this.parts.push(bytes.slice()) }, head);
    this.keyframing = new KeyframingWriter(m, this.writer, spacing);
    this.tracer = new Tracer(m, this.keyframing);
    this.locks = this.tracer;
    m.ftrace!.emitting = true;
  }

  get events(): number {
    return this.writer.events;
  }

  point(): void {
    if (this.m.config.checking) this.steps.push(this.writer.events);
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    this.tracer.emit(event, a, b, c, d, e, f, g);
    if (this.m.config.checking && event !== Event.FuncEntry && event !== Event.FuncExit) this.steps.push(this.writer.events);
  }

  /** The event that was the last when the checker had counted so many steps. */
  stepAt(counted: number): number {
    return Math.max(0, (this.steps[Math.min(counted, this.steps.length) - 1] ?? this.writer.events) - 1);
  }

  end(how: TraceEnd["end"]): Uint8Array {
    this.keyframing.end();
    this.writer.end(how, this.m.now());
    const bytes = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
