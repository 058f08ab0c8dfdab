import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, release, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RELEASES } from "@faultline/kernel";
import { Piscina } from "piscina";
import { compile, NATIVE } from "../compile.js";
import { EXIT_INTERRUPTED, UserError } from "../failure.js";
import { HostOutput } from "../host_io.js";
import { Interrupt } from "../interrupt.js";
import { common } from "./compare.js";
import { addCoverage, coverageTable, type Coverage } from "./coverage.js";
import { operationText } from "./operations.js";
import { formatCase } from "./saved_case.js";
import { GuestSide, runNatively } from "./sides.js";
import type { BatchFailed, BatchResult, Found, WorkerData } from "./worker.js";

export interface DifftestOptions {
  readonly seeds: number;
  readonly from: number;
  readonly operations: number;
  readonly workers?: number;
  /** How many differences are enough. */
  readonly max: number;
  /** Folder for what was found, one file each. */
  readonly save?: string;
  /** Compare with an older kernel, too. */
  readonly anyHost?: boolean;
}

const EXIT_DIFFERENT = 1;
/** The first release whose memory management is near enough to what is modelled. */
const RELEASE_MIN = "6.17";
/** Seeds that one run of the program on either side does. */
const BATCH = 10;
const PROGRAMS = fileURLToPath(new URL("../../../../programs/", import.meta.url));
/** As programs/build.sh has them, for this machine. */
const FLAGS = "-std=gnu17 -ffreestanding -fno-stack-protector -fno-tree-loop-distribute-patterns -static-pie -fPIE -Wl,--no-dynamic-linker -nostdlib".split(" ");

/** Compares the Linux underneath and machines by random operations; returns the exit status. */
export async function difftest(options: DifftestOptions): Promise<number> {
  if (process.platform !== "linux") throw new UserError(`difftest needs Linux underneath, and this is ${process.platform}`);
  if (options.anyHost !== true && !isNewEnough(release())) {
    new HostOutput(1).text(`this Linux is ${release()}, older than ${RELEASE_MIN}: not compared, since the differences would be those of the releases (--any-host compares)\n`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "faultline-difftest-"));
  const interrupt = new Interrupt();
  try {
    const native = join(folder, "difftest");
    compile(NATIVE, join(PROGRAMS, "difftest.c"), native, [...FLAGS, "-I", join(PROGRAMS, "include")]);
    const guest = join(PROGRAMS, "prebuilt/difftest");
    const machineRelease = modelled(release());
    const [ours, theirs] = [runNatively(native, []), new GuestSide(guest, machineRelease).run([])];
    const { both: features, missing } = common(ours.features, theirs.features);
    const run = new Difftest(options, { native, guest, release: machineRelease, features, operations: options.operations, shrinks: true }, [...missing, ...theirs.missing], interrupt);
    return await run.run();
  } finally {
    interrupt.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a version, `6.18.44-cloud`, is another one or newer. */
function isSince(text: string, since: string): boolean {
  const [major = 0, minor = 0] = text.split(/[.-]/).map(Number);
  const [sinceMajor = 0, sinceMinor = 0] = since.split(".").map(Number);
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

/** Whether a release has at least the features that are modelled. */
export function isNewEnough(text: string): boolean {
  return isSince(text, RELEASE_MIN);
}

/** The release that is modelled and comes nearest to a host's from below; the oldest where there is none. */
export function modelled(text: string): string {
  return (RELEASES.find(({ name }) => isSince(text, name)) ?? RELEASES.at(-1)!).name;
}

class Difftest {
  private readonly stdout = new HostOutput(1);
  private readonly found: Found[] = [];
  private readonly unsteady: number[] = [];
  private coverage: Coverage = {};
  private done = 0;
  private readonly start = performance.now();

  constructor(
    private readonly options: DifftestOptions,
    private readonly workerData: WorkerData,
    /** What is not compared, in words. */
    private readonly missing: readonly string[],
    private readonly interrupt: Interrupt,
  ) {}

  async run(): Promise<number> {
    const { seeds, from, workers = availableParallelism() } = this.options;
    const pool = new Piscina<readonly number[], BatchResult | BatchFailed>({
      filename: new URL("./worker.js", import.meta.url).href,
      workerData: this.workerData,
      minThreads: 1,
      maxThreads: workers,
      concurrentTasksPerWorker: 1,
    });
    let next = from;
    const end = from + seeds;
    /** Takes batches until there are none, or enough is known. Seeds below `next` are done or on their way. */
    const work = async (): Promise<void> => {
      while (next < end && !this.interrupt.raised && this.found.length < this.options.max) {
        const batch = Array.from({ length: Math.min(BATCH, end - next) }, (_, i) => next + i);
        next += batch.length;
        const result = await pool.run(batch);
        if ("failed" in result) throw new UserError(result.failed);
        this.learn(result, batch.length);
        this.draw();
      }
    };
    try {
      await Promise.all(Array.from({ length: workers }, work));
    } finally {
      this.clear();
      await pool.destroy();
    }
    this.report(next);
    if (this.found.length > 0) return EXIT_DIFFERENT;
    return this.interrupt.raised && next < end ? EXIT_INTERRUPTED : 0;
  }

  private learn({ found, coverage, unsteady }: BatchResult, seeds: number): void {
    this.found.push(...found);
    this.unsteady.push(...unsteady);
    this.coverage = addCoverage(this.coverage, coverage);
    this.done += seeds;
  }

  private report(next: number): void {
    const { from, seeds, operations } = this.options;
    const out = (line: string): void => this.stdout.text(`${line}\n`);
    for (const line of this.missing) out(line);
    for (const { seed, difference, list, text } of this.found.sort((a, b) => a.seed - b.seed)) {
      out(`Seed ${seed}: after ${difference.kind}, ${difference.field} differs`);
      out(`  Linux      ${difference.native}`);
      out(`  Faultline  ${difference.guest}`);
      // What was not made small is like another one.
      if (text === "") continue;
      for (const op of list) out(`    ${operationText(op)}`);
      if (this.options.save !== undefined) writeFileSync(join(this.options.save, `${difference.kind}-${difference.field}-${seed}.txt`), formatCase({ list, text }));
    }
    if (this.unsteady.length > 0) out(`This Linux does not do the same twice with ${this.unsteady.join(", ")}.`);
    out(coverageTable(this.coverage));
    out(`${this.done} seeds of ${operations} operations, from ${from} on: ${this.found.length === 0 ? "no difference" : `${this.found.length} with a difference`}`);
    if (next < from + seeds) out(`To go on: npm run difftest -- --seeds ${from + seeds - next} --from ${next}`);
  }

  private draw(): void {
    if (!process.stderr.isTTY) return;
    const rate = (this.done / ((performance.now() - this.start) / 1000)).toFixed(1);
    process.stderr.write(`\r\u001b[K  ${this.done} of ${this.options.seeds} seeds, ${rate}/s, ${this.found.length} with a difference`);
  }

  private clear(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  }
}
