import { Worker } from "node:worker_threads";
import { MultiBar, type SingleBar } from "cli-progress";
import Table from "cli-table3";
import pc from "picocolors";
import { EXIT_INTERRUPTED, firstLine, UserError } from "./failure.js";
import type { Sample, StoryResult, StoryWish } from "./story_run.js";
import type { StoryMessage } from "./story_worker.js";

const BEFORE = "6.14";
const AFTER = "7.3";
/** Size of what the program touches, in MiB. */
const MIB = 1024;

/** Runs one kernel's story in a thread of its own. */
function runInWorker(wish: StoryWish, progress: (done: number) => void): Promise<StoryResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./story_worker.js", import.meta.url), { workerData: wish });
    worker.on("message", (message: StoryMessage) => {
      if ("result" in message) resolve(message.result);
      else progress(message.done);
    });
    worker.on("error", reject);
    worker.on("exit", (code) => {
      reject(new Error(`the thread of release ${wish.release} ended with ${code}`));
    });
  });
}

/** Bars on a terminal, nothing elsewhere. */
class Progress {
  private readonly bars = new MultiBar(
    {
      format: "  Linux {release}  {bar} {percentage}%  {stage}",
      barsize: 30,
      clearOnComplete: true,
      hideCursor: false,
      stopOnComplete: false,
      noTTYOutput: false,
      stream: process.stderr,
    },
  );

  start(release: string): (done: number) => void {
    if (!process.stderr.isTTY) return () => {};
    const bar: SingleBar = this.bars.create(100, 0, { release: release.padEnd(4), stage: "" });
    return (done) => {
      bar.update(Math.floor(done * 100), { stage: stageName(done) });
    };
  }

  stop(): void {
    this.bars.stop();
  }
}

function stageName(done: number): string {
  if (done >= 1) return "done";
  return ["touching 1 GiB", "making 262144 pages exclusive", "taking memory offline", "reclaiming"][Math.floor(done * 4)]!;
}

/** Tells the story of the device-exclusive series of 2025; returns the exit status. */
export async function story(): Promise<number> {
  const progress = new Progress();
  const onInterrupt = (): void => {
    progress.stop();
    process.stderr.write("\n");
    process.exit(EXIT_INTERRUPTED);
  };
  process.on("SIGINT", onInterrupt);
  process.stdout.write(`${introduction()}\n`);
  try {
    const [before, after] = await Promise.all(
      [BEFORE, AFTER].map((release) => runInWorker({ release, mib: MIB, pageOwner: release === BEFORE }, progress.start(release))),
    );
    progress.stop();
    process.stdout.write(`${tableOf(before!, after!)}\n${explanation(before!)}\n`);
    return 0;
  } catch (error) {
    progress.stop();
    if (error instanceof RangeError) throw new UserError(`this computer has too little memory for the story: ${firstLine(error)}`);
    throw error;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

function introduction(): string {
  return `${pc.bold("Can memory that a device holds exclusively be moved, or swapped out?")}

A program touches 1 GiB, gives all of its 262144 pages to a device for exclusive (atomic) access,
and sleeps. Root then writes "offline" to the state of a memory block that was online_movable, gives
up after five seconds, and asks the kernel to reclaim 1 GiB. Here it is on two kernels, before and
after the series "mm: fixes for device-exclusive entries (hmm)" of 2025.
`;
}

function tableOf(before: StoryResult, after: StoryResult): string {
  const table = new Table({
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right", "right", "right"],
  });
  const kB = (value: number): string => `${value} kB`;
  const row = (name: string, pick: (result: StoryResult) => Sample): string[] => [
    name,
    ...[before, after].flatMap((result) => [kB(pick(result).rss), kB(pick(result).swap)]),
  ];
  const one = (name: string, pick: (result: StoryResult) => string): (string | { colSpan: number; content: string; hAlign: "center" })[] => [
    name,
    ...[before, after].map((r) => ({ colSpan: 2, content: pick(r), hAlign: "center" as const })),
  ];
  const outcome = (error: string | null): string => error?.split(" ", 1)[0] ?? "success";
  table.push(
    [
      pc.bold("smaps_rollup"),
      { colSpan: 2, content: pc.bold(`${BEFORE}, before`), hAlign: "center" },
      { colSpan: 2, content: pc.bold(`${AFTER}, after`), hAlign: "center" },
    ],
    ["", "Rss", "Swap", "Rss", "Swap"],
    row("populated", (r) => r.populated),
    row("after EXCLUSIVE", (r) => r.exclusive),
    row("after memory.reclaim", (r) => r.reclaimed),
    one("memory.reclaim said", (r) => outcome(r.reclaimError)),
    one("swap space in use", (r) => kB(r.swapUsed)),
    one(pc.bold(`memory${before.block}`), () => ""),
    one("exclusive pages in it", (r) => String(r.inBlock.exclusive)),
    one("mapped, say kpageflags", (r) => String(r.inBlock.mapped)),
    one("offline said", (r) => outcome(r.offlineError)),
    one("its state then", (r) => r.blockState),
    one("exclusive pages left", (r) => String(r.leftInBlock.exclusive)),
    one("pages wrong at the end", (r) => /(\d+) wrong$/.exec(r.checked)?.[1] ?? "unknown"),
  );
  return table.toString();
}

function explanation(before: StoryResult): string {
  const run = "npx faultline run";
  return `
${pc.bold("Why:")} before the series a device-exclusive entry did not count as a mapping of its page. Reclaim took
the page for unmapped, gave it a place in the swap cache and had nothing to unmap, while the entry's
reference kept the page from being freed: ${before.swapUsed} kB of swap were spent, nothing was won, and
the write to memory.reclaim failed with ${before.reclaimError ?? "no error"}.
Since the series the entry keeps the page's map count, reclaim finds it through rmap, tells the
device, and puts an ordinary swap entry in its place. So does migration, which empties the block;
before, it tried and tried, and this is what the kernel log had on the first of the pages:

${before.dump.map((line) => `  ${line}`).join("\n")}

${pc.bold("Try next:")}
  ${run} --strace programs/prebuilt/hello
  ${run} programs/prebuilt/counter 4 100000 device
  ${run} --do 'echo 48M > /sys/fs/cgroup/memory.reclaim' --do 'kill -CONT $PID' \\
      programs/prebuilt/exclusive-check 64
  ${run} --do 'cat /proc/$PID/smaps' programs/prebuilt/exclusive-swap 64
  npx faultline patches          what can be undone, one by one, with --without
  npx faultline run --help       any riscv64 Linux program will do
`;
}
