import { readFileSync } from "node:fs";
import { EVENTS, readTrace, type Trace, type TraceConsumer } from "@faultline/trace";
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import { firstLine, UserError } from "./failure.js";
import { exporterFor, formatOf, nodeDigest, OutputFile } from "./trace_file.js";
import { formatSize, shellQuote } from "./values.js";

/** @throws UserError when the file cannot be read */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const reasons: Readonly<Record<string, string>> = { ENOENT: "no such file", EISDIR: "is a directory", EACCES: "may not be read" };
    throw new UserError(`${path}: ${reasons[code] ?? firstLine(error)}`);
  }
}

/** Says what a trace has, or writes it as another format; returns the exit status. */
export async function trace(path: string, to: string | undefined): Promise<number> {
  const read = readTrace(readBytes(path));
  if (typeof read === "string") throw new UserError(`${path}: ${read}`);
  if (read.end === null) {
    process.stderr.write(`faultline: ${path}: its run was cut off; this is what was complete by then\n`);
  }
  if (to === undefined) process.stdout.write(describe(path, read));
  else convert(path, read, to);
  return Promise.resolve(0);
}

function convert(path: string, read: Trace, to: string): void {
  if (formatOf(to) === "compact") throw new UserError(`--to '${to}': the name of the file must end in .txt or .pftrace`);
  const file = new OutputFile(to, path);
  const exporter = exporterFor(file, read.head)!;
  const bar = process.stderr.isTTY ? new SingleBar({ format: "  {bar} {percentage}%", barsize: 30, clearOnComplete: true, stream: process.stderr }) : null;
  bar?.start(100, 0);
  const wrong = read.replay(exporter, (done) => bar?.update(Math.floor(done * 100)));
  bar?.stop();
  exporter.finish();
  file.close();
  if (wrong !== null) throw new UserError(`${path}: ${wrong}; ${to} has what came before`);
}

/** Counts the events of each kind. */
class Counter implements TraceConsumer {
  readonly counts = EVENTS.map(() => 0);

  name(): void {}

  event(_time: number, _executor: number, _task: number, event: number): void {
    this.counts[event]!++;
  }
}

function describe(path: string, read: Trace): string {
  const { head, end } = read;
  const counter = new Counter();
  const wrong = read.replay(counter);
  if (wrong !== null) throw new UserError(`${path}: ${wrong}`);
  const hash = read.hash(nodeDigest());
  if (typeof hash === "string") throw new UserError(`${path}: ${hash}`);
  if (end !== null && end.hash !== hash.hash) throw new UserError(`${path}: its events are not those that were recorded`);
  const ends = { exited: "the program ended", shutdown: "shut down after the last --do", stuck: "every thread was stuck", interrupted: "interrupted", failed: "Faultline failed" };
  const table = new Table({ chars: NO_BORDERS, style: { head: [], border: [], "padding-left": 0, "padding-right": 2 } });
  const row = (name: string, value: string): void => {
    table.push([name, value]);
  };
  row("program", [head.program, ...head.args].map(shellQuote).join(" "));
  row("kernel", [head.release, ...head.without.map((name) => `--without ${name}`), ...head.patches.map((file) => `--patch ${file}`), ...head.drivers.map((file) => `--driver ${file}`)].join(" "));
  row("machine", `${formatSize(head.memory)} of RAM, ${formatSize(head.swap)} of swap, ${head.cpus} CPUs, seed ${head.seed}`);
  for (const line of head.before) row("before it", line);
  for (const line of head.lines) row("during it", line);
  row("duration", `${(read.duration / 1e9).toFixed(9)} s of machine time, then ${end === null ? "cut off" : ends[end.end]}`);
  row("functions", head.functions ? "recorded" : "not recorded");
  row("keyframes", String(read.keyframes.length));
  row("hash", hash.hash);
  row("events", String(read.events));
  const kinds = new Table({ chars: NO_BORDERS, colAligns: ["right", "left"], style: { head: [], border: [], "padding-left": 2, "padding-right": 0 } });
  const counted = EVENTS.map(({ system, name }, i) => ({ name: `${system}:${name}`, count: counter.counts[i]! }));
  for (const { name, count } of counted.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count)) kinds.push([count, name]);
  const trimmed = (text: string): string => text.replaceAll(/ +$/gm, "");
  return `${trimmed(table.toString())}\n${kinds.length === 0 ? "" : `${trimmed(kinds.toString())}\n`}`;
}

const NO_BORDERS = Object.fromEntries(
  ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right", "left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"].map(
    (name) => [name, ""],
  ),
);
