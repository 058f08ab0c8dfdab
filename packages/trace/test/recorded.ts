import type { LinuxMachine } from "@faultline/riscv";
import { FORMAT, HashingSink, KeyframeTaker, Tracer, TraceWriter, type TraceConsumer, type TraceHead } from "../src/index.js";

export const HEAD: TraceHead = {
  format: FORMAT,
  program: "test",
  args: ["a", "b c"],
  release: "7.3",
  without: [],
  patches: [],
  drivers: [],
  memory: 2 ** 25,
  swap: 2 ** 24,
  cpus: 2,
  seed: 1,
  before: [],
  lines: [],
  functions: false,
};

/** Writes down what it gets. */
export class Log implements TraceConsumer {
  readonly lines: unknown[][] = [];

  name(...line: unknown[]): void {
    this.lines.push(["name", ...line]);
  }

  event(...line: unknown[]): void {
    this.lines.push(line);
  }

  get events(): unknown[][] {
    return this.lines.filter(([first]) => first !== "name");
  }
}

/** Passes everything on to several. */
export function tee(...consumers: readonly TraceConsumer[]): TraceConsumer {
  return {
    name: (...line) => {
      for (const consumer of consumers) consumer.name(...line);
    },
    event: (...line) => {
      for (const consumer of consumers) consumer.event(...line);
    },
  };
}

export interface Recorded {
  readonly bytes: Uint8Array;
  readonly log: Log;
  /** As `HashingSink` has it. */
  readonly hash: string;
}

/** Runs a machine to its end, with a keyframe every so many turns (0: none) and at the end. */
export function record(linux: LinuxMachine, turns = 0, atKeyframe: () => void = () => {}): Recorded {
  const parts: Uint8Array[] = [];
  const writer = new TraceWriter({ write: (bytes) => parts.push(bytes.slice()) }, HEAD);
  const log = new Log();
  const hashing = new HashingSink(linux.m);
  const tracer = new Tracer(linux.m, tee(writer, log));
  const taker = new KeyframeTaker(linux.m);
  const keyframe = (): void => {
    writer.keyframe(taker.take(), Math.floor(linux.m.now()));
    atKeyframe();
  };
  linux.m.sink = {
    point: () => {},
    emit: (...event) => {
      hashing.emit(...event);
      tracer.emit(...event);
    },
  };
  while (linux.runFor(turns === 0 ? Infinity : turns) === null) keyframe();
  if (turns > 0) keyframe();
  writer.end("exited", linux.m.now());
  return { bytes: Buffer.concat(parts), log, hash: hashing.hash() };
}
