import { writeSync } from "node:fs";
import { json } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { getHeapSnapshot } from "node:v8";
import { Worker } from "node:worker_threads";
import { Event, Sig, type EventSink, type Kernel } from "@faultline/kernel";
import { afterAll, expect, test } from "vitest";
import { Random } from "../packages/checker/test/fuzz.js";
import { Invariants } from "../packages/checker/src/invariants.js";
import { LockOrder } from "../packages/checker/src/lock_order.js";
import { runGuest, type GuestRun } from "../packages/riscv/test/guest.js";
import { CallMaker } from "./call_maker.js";
import { atRest, drive, tree } from "./still.js";

/* docs/fuzzing.md says what this is about, and how to run it. */

/** `npm run fuzz:abi` makes a million of them. */
const CALLS = Number(process.env["CALLS"] ?? 5_000);
const FIRST_SEED = Number(process.env["CALLS_SEED"] ?? 1);
/** The rules are looked at after each of so many calls. */
const CHECK_EVERY = Number(process.env["CALLS_CHECK"] ?? 1);
/** Lines of strace that are told of a batch that went wrong. */
const LAST_LINES = Number(process.env["CALLS_TOLD"] ?? 12);
/** A line for each batch. */
const LOG = process.env["CALLS_LOG"] !== undefined;
/** Calls on one machine. */
const BATCH = 5_000;
/** Seconds of the host without a call, after which it counts as a hang. */
const HANG_S = Number(process.env["CALLS_HANG"] ?? 300);
/** Calls on each of the machines that memory is measured behind; all of them make the same. */
const GROWTH_CALLS = Math.min(CALLS / 12, BATCH);
/** Machines until what is made once is there, and those that are measured. */
const WARM_UP = 2;
const MEASURED = 6;
/** What a call may leave behind in this process: nothing, as exactly as that can be measured. */
const GROWTH_BYTES_MAX = 4;

/** What looks from another thread whether this one goes on: one that hangs cannot say so, nor where. */
const WATCH = `
  const { workerData: { state, seconds } } = require("node:worker_threads");
  const { writeSync } = require("node:fs");
  const { Session } = require("node:inspector");
  let last = -1;
  setInterval(() => {
    if (state[0] !== last) {
      last = state[0];
      return;
    }
    writeSync(2, "CALLS_SEED=" + state[1] + ": no call has returned for " + seconds + " s\\n");
    const session = new Session();
    session.connectToMainThread();
    session.on("Debugger.paused", ({ params: { callFrames } }) => {
      for (const { functionName, url, location } of callFrames) writeSync(2, "  " + functionName + " " + url + ":" + (location.lineNumber + 1) + "\\n");
      process.kill(process.pid, "SIGKILL");
    });
    session.post("Debugger.enable");
    session.post("Debugger.pause");
  }, seconds * 1000);`;

/** Ends this process, and tells where it was, when nothing has happened for too long. */
class Watch {
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly worker = new Worker(WATCH, { eval: true, workerData: { state: this.state, seconds: HANG_S } });

  alive(seed: number): void {
    this.state[0]!++;
    this.state[1] = seed;
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

const watch = new Watch();
afterAll(() => watch.end());

/** One machine that makes calls from a seed, with the rules looked at while it does. */
class Batch {
  readonly found: string[] = [];
  readonly last: string[] = [];
  calls = 0;
  checked = 0;
  maker!: CallMaker;
  private invariants!: Invariants;
  private k!: Kernel;

  constructor(
    private readonly seed: number,
    /** Calls that are asked for. */
    private readonly size: number,
    private readonly paths: readonly string[],
  ) {}

  run(): GuestRun {
    const report = ({ kind, message }: { kind: string; message: string }): void => void this.found.push(`${kind}: ${message}`);
    const out = { stdout: "" };
    const run = runGuest("anycall", {
      args: ["parent"],
      ftrace: true,
      seed: this.seed,
      memoryBytes: 32 * 2 ** 20,
      swapBytes: 8 * 2 ** 20,
      deviceChunkPages: 512,
      cpus: 1 + (this.seed % 2),
      stdin: (max) => this.maker.read(max),
      stdout: (part) => void (out.stdout += Buffer.from(part).toString("latin1")),
      strace: (line) => {
        this.last.push(line);
        if (this.last.length > LAST_LINES) this.last.shift();
      },
      prepare: ({ k, m }) => {
        const locks = new LockOrder(report);
        m.locks.observer = locks;
        this.k = k;
        this.invariants = new Invariants(k, m.mirrors, locks, report);
        const handler = (): number => Number(/handler (\d+)/.exec(out.stdout)?.[1] ?? 0);
        this.maker = new CallMaker(new Random(this.seed), m, this.size, this.paths, handler);
        m.sink = this.sink();
      },
    });
    // The machine stops with its first program, whatever others are about.
    if (this.found.length === 0 && atRest(this.k)) this.invariants.atRest();
    return { ...run, stdout: out.stdout };
  }

  private sink(): EventSink {
    const { invariants, maker } = this;
    return {
      point: (executor, op, object) => {
        invariants.point(executor, op, object);
      },
      emit: (event, a, b, c, d, e, f) => {
        if (event === Event.SysExit) watch.alive(this.seed);
        if (event === Event.SysEnter) maker.entering(a, b, c);
        else if (event === Event.SysExit && maker.isMade()) this.returned();
        invariants.emit(event, a, b, c, d, e, f);
      },
    };
  }

  private returned(): void {
    this.calls++;
    if (this.found.length > 0) throw new Error(this.found.join("\n"));
    if (this.calls % CHECK_EVERY !== 0 || !atRest(this.k)) return;
    this.checked++;
    this.invariants.atRest();
    if (this.found.length > 0) throw new Error(this.found.join("\n"));
  }
}

function say(line: string): void {
  if (process.stderr.isTTY) writeSync(2, `\r\x1b[K${line}`);
}

/** Where a program may find files; what is in /proc for one process changes from run to run. */
const paths = drive(tree(runGuest("hello").machine.k, "/", (path) => !/^\/proc\/\d/.test(path)));

/**
 * Whether calls have broken memory that the first process runs on: all share the program's text through the page cache,
 * so that it gets SIGBUS like the others, as it would on Linux. CallMaker leaves that out where an argument says so; by a
 * mapping of the program's file, or a frame's number, it may still be. The calls until then count.
 */
function brokeFirst({ result: { status }, machine: { m } }: GuestRun): boolean {
  return status !== null && "signal" in status && status.signal === (Sig.SIGBUS as number) && m.vmstat.pages.hwpoison > 0;
}

/** Makes calls on a machine of its own. @throws where something is wrong, with the last of them */
function make(seed: number, calls: number): Batch {
  const batch = new Batch(seed, calls, paths);
  try {
    const run = batch.run();
    expect(batch.found).toEqual([]);
    expect(run.result.end, run.result.stuck.join("; ")).toBe("exited");
    if (!brokeFirst(run)) expect(run.stdout).toMatch(/^handler \d+\n\d+ processes\n$/);
  } catch (error) {
    throw new Error(`CALLS_SEED=${seed}, after ${batch.calls} calls:\n${batch.last.join("\n")}`, { cause: error });
  }
  return batch;
}

test(`${CALLS} system calls at random: no exception, no hang, and the rules hold`, () => {
  for (let done = 0, seed = FIRST_SEED; done < CALLS; done += BATCH, seed++) {
    say(`${done} of ${CALLS} calls, seed ${seed}`);
    const batch = make(seed, Math.min(BATCH, CALLS - done));
    if (LOG) writeSync(2, `seed ${seed}: ${batch.calls} calls, rules looked at after ${batch.checked}, ${batch.maker.counts.size} kinds, ${process.cpuUsage().user / 1e6} s\n`);
  }
  say("");
});

/** What a heap snapshot says of V8's own: compiled code, what was learnt for it, and how objects are laid out. */
const OF_V8: ReadonlySet<string> = new Set(["code", "hidden", "object shape", "synthetic"]);

interface HeapSnapshot {
  readonly snapshot: { readonly meta: { readonly node_fields: readonly string[]; readonly node_types: readonly [readonly string[], ...unknown[]] } };
  readonly nodes: readonly number[];
}

/** Bytes of all objects, arrays, closures and strings that something still refers to. */
async function bytesInUse(): Promise<number> {
  // What is finalised has a turn of its own before.
  await setImmediate();
  const { snapshot, nodes } = (await json(getHeapSnapshot())) as HeapSnapshot;
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [type, size] = [fields.indexOf("type"), fields.indexOf("self_size")];
  let bytes = 0;
  for (let at = 0; at < nodes.length; at += fields.length) if (!OF_V8.has(types[0][nodes[at + type]!]!)) bytes += nodes[at + size]!;
  return bytes;
}

/*
 * The same calls again and again, each time on a new machine: what is left behind them is what they leak. It would be the
 * same each time, and as much as there are calls.
 */
test("what calls have used is free when their machine is gone", async () => {
  const bytes: number[] = [];
  let calls = 0;
  for (let i = 0; i < WARM_UP + MEASURED; i++) {
    calls = make(FIRST_SEED, GROWTH_CALLS).calls;
    bytes.push(await bytesInUse());
  }
  if (LOG) writeSync(2, `in use behind ${calls} calls, each time: ${bytes.join(" ")} bytes\n`);
  // Now and then a frame of V8's still has the last machine; not each time.
  const half = MEASURED / 2;
  const [first, last] = [Math.min(...bytes.slice(WARM_UP, -half)), Math.min(...bytes.slice(-half))];
  expect((last - first) / half / calls).toBeLessThan(GROWTH_BYTES_MAX);
});
