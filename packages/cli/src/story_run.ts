import { fileURLToPath } from "node:url";
import { Dmirror, KPF, PAGE_SIZE, PM, resolvePatches, RssKind, stablePageFlags } from "@faultline/kernel";
import { LinuxMachine, parseOperatorLine, type OperatorLine } from "@faultline/riscv";
import { ENVIRONMENT, readProgram, TURNS } from "./run.js";

/** Figures of smaps_rollup, in kB. */
export interface Sample {
  readonly rss: number;
  readonly swap: number;
}

/** Device-exclusive entries of the program whose page lies in the block, and how many of those pages count as mapped. */
export interface BlockSample {
  readonly exclusive: number;
  readonly mapped: number;
}

/** What one kernel did in the story. */
export interface StoryResult {
  readonly populated: Sample;
  readonly exclusive: Sample;
  readonly reclaimed: Sample;
  /** The memory block, its number, and how many exclusive pages of the program lay in it before and after. */
  readonly block: number;
  readonly inBlock: BlockSample;
  readonly leftInBlock: BlockSample;
  /** What the write of offline to its state said; null when it succeeded. */
  readonly offlineError: string | null;
  /** Its state afterwards. */
  readonly blockState: string;
  /** What the kernel log has on the first page that did not move; empty when all did. */
  readonly dump: readonly string[];
  /** What the program said when it had checked its pages at the end. */
  readonly checked: string;
  /** What the write to memory.reclaim said; null when it succeeded. */
  readonly reclaimError: string | null;
  /** Swap space in use at the end, in kB. */
  readonly swapUsed: number;
}

export interface StoryWish {
  readonly release: string;
  /** Size of the range in MiB. */
  readonly mib: number;
  /** Keeps who allocated each page, for the log of pages that do not move. */
  readonly pageOwner: boolean;
}

const LOOK = "cat /proc/$PID/smaps_rollup";
const CONTINUE = "kill -CONT $PID";
const DO_TIMEOUT_SECONDS = 5;
/** Smaller machines have no memory block that could go offline: the first one has the kernel in it. */
const MEMORY_MIN = 512 * 2 ** 20;
const BLOCK_BYTES = 2 ** 27;
const RAM_BASE = 2 ** 31;
const reclaim = (mib: number): string => `echo ${mib}M > /sys/fs/cgroup/memory.reclaim`;

function lineOf(text: string): OperatorLine {
  const line = parseOperatorLine(text);
  if (typeof line === "string") throw new Error(line);
  return line;
}

function sampleOf(rollup: string): Sample {
  const field = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(rollup)?.[1] ?? NaN);
  return { rss: field("Rss"), swap: field("Swap") };
}

/** Looks through the page tables of the program as pagemap shows them. */
function exclusiveInBlock(linux: LinuxMachine, block: number): BlockSample {
  const { k, m } = linux;
  const mm = linux.program?.mm ?? null;
  const sample = { exclusive: 0, mapped: 0 };
  if (mm === null) return sample;
  for (const vma of mm.vmas) {
    for (let vpn = vma.startVpn; vpn < vma.endVpn; vpn++) {
      const ptep = m.pt.lookup(mm.pgd, vpn);
      if (ptep < 0) continue;
      const { flags, frame } = k.pagemap.pteToPagemapEntry(k, m.pt.flags(ptep), m.pt.pfn(ptep));
      const type = frame % 32;
      const exclusive = type === k.swapops.SWP_DEVICE_EXCLUSIVE || type === k.swapops.SWP_DEVICE_EXCLUSIVE_READ;
      if ((flags & PM.SWAP) === 0 || !exclusive) continue;
      const pfn = Math.floor(frame / 32);
      if (Math.floor((pfn * PAGE_SIZE) / BLOCK_BYTES) !== block) continue;
      sample.exclusive++;
      if (((stablePageFlags(k, pfn) >> BigInt(KPF.MMAP)) & 1n) === 1n) sample.mapped++;
    }
  }
  return sample;
}

/** The first page that the log says could not be moved, without the times. */
function firstDump(lines: readonly string[]): string[] {
  const texts = lines.map((line) => line.replace(/^\[ *[\d.]+\] /, ""));
  const at = texts.findIndex((line) => line.startsWith("migrating pfn"));
  if (at < 0) return [];
  const end = texts.findIndex((line, i) => i > at && line.startsWith("migrating pfn"));
  return texts.slice(at, end < 0 ? undefined : end);
}

/** What root's lines show, as they run. */
class Sightings {
  readonly samples: Sample[] = [];
  /** In kB, when root last looked. */
  swapUsed = 0;
  reclaimError: string | null = null;
  offlineError: string | null = null;
  blockState = "";
  inBlock: BlockSample = { exclusive: 0, mapped: 0 };
  leftInBlock = this.inBlock;
  /** Lines that have begun, those before the program among them. */
  begun = 0;
  private readonly decoder = new TextDecoder();
  private text = "";

  constructor(
    private readonly linux: () => LinuxMachine,
    private readonly block: number,
    private readonly offline: string,
  ) {}

  begins(line: OperatorLine): void {
    this.begun++;
    if (line.text === this.offline) this.inBlock = exclusiveInBlock(this.linux(), this.block);
  }

  stdout(chunk: Uint8Array): void {
    this.text += this.decoder.decode(chunk);
  }

  failure(message: string, line: OperatorLine): void {
    const error = message.slice(line.text.length + 2);
    if (line.text === this.offline) this.offlineError = error;
    else this.reclaimError = error;
  }

  ended(line: OperatorLine): void {
    if (line.text === LOOK) {
      this.samples.push(sampleOf(this.text));
      this.swapUsed = (this.linux().m.swap.used * PAGE_SIZE) / 1024;
    } else if (line.kind === "cat") {
      this.blockState = this.text.trim();
      this.leftInBlock = exclusiveInBlock(this.linux(), this.block);
    }
    this.text = "";
  }
}

/** The stages of the story, each a quarter of the way. */
enum Stage {
  touching,
  taking,
  offlining,
  reclaiming,
}

const STAGES = 4;

/** How far the story has come, from 0 to 1. */
class Way {
  /** Machine time when the block began to go offline, in nanoseconds; 0 before. */
  private offlineFrom = 0;

  constructor(
    private readonly linux: LinuxMachine,
    /** Pages that the program touches. */
    private readonly pages: number,
  ) {}

  /** @param typed how many of root's lines have begun since the program runs */
  done(typed: number): number {
    const stage = typed <= 0 ? Stage.touching : typed < 4 ? Stage.taking : typed < 6 ? Stage.offlining : Stage.reclaiming;
    return (stage + Math.min(1, this.stageDone(stage))) / STAGES;
  }

  private stageDone(stage: Stage): number {
    const { m, program } = this.linux;
    if (program === null) return 0;
    switch (stage) {
      case Stage.touching:
        return (program.mm?.rss[RssKind.anon] ?? 0) / this.pages;
      case Stage.taking: {
        const device = program.files.get(3)?.data;
        return device instanceof Dmirror ? device.table.size / this.pages : 0;
      }
      case Stage.offlining:
        if (this.offlineFrom === 0) this.offlineFrom = m.now();
        return (m.now() - this.offlineFrom) / (DO_TIMEOUT_SECONDS * 1e9);
      case Stage.reclaiming:
        return m.swap.used / this.pages;
    }
  }
}

/**
 * Runs exclusive-swap on a machine of three times its size, in memory and in swap, looks at it at
 * each stage, takes a memory block in the middle of RAM offline, and asks for all of the program
 * to be reclaimed. `progress` gets a number from 0 to 1.
 */
export function runStory(wish: StoryWish, progress: (done: number) => void): StoryResult {
  const path = fileURLToPath(new URL("../../../programs/prebuilt/exclusive-swap", import.meta.url));
  const overlays = resolvePatches({ release: wish.release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const bytes = Math.max(MEMORY_MIN, 3 * wish.mib * 2 ** 20);
  const block = Math.floor((RAM_BASE + bytes / 2) / BLOCK_BYTES);
  const state = `/sys/devices/system/memory/memory${block}/state`;
  const offline = `echo offline > ${state}`;
  const before = [offline, `echo online_movable > ${state}`];
  const lines = [LOOK, CONTINUE, LOOK, offline, `cat ${state}`, reclaim(wish.mib), LOOK, CONTINUE];

  const decoder = new TextDecoder();
  let said = "";
  const seen = new Sightings(() => linux, block, offline);
  const linux: LinuxMachine = new LinuxMachine({
    memoryBytes: bytes,
    swapBytes: bytes,
    cpus: 2,
    seed: 1,
    overlays,
    release: `${wish.release}.0`,
    ...readProgram(path),
    path: "/exclusive-swap",
    argv: ["exclusive-swap", "step", String(wish.mib)],
    env: ENVIRONMENT,
    stdout: (chunk) => {
      said += decoder.decode(chunk);
    },
    stderr: () => {},
    pageOwner: wish.pageOwner,
    before: before.map(lineOf),
    lines: lines.map(lineOf),
    lineTimeoutSeconds: DO_TIMEOUT_SECONDS,
    operatorOutput: seen,
  });

  const way = new Way(linux, (wish.mib * 2 ** 20) / PAGE_SIZE);
  while (linux.runFor(TURNS) === null) progress(way.done(seen.begun - before.length));
  const { dmesg } = linux.m;
  const [populated, exclusive, reclaimed] = seen.samples;
  if (populated === undefined || exclusive === undefined || reclaimed === undefined) {
    throw new Error(`the program ended early: ${dmesg.lines.at(-1) ?? "no reason logged"}`);
  }
  return {
    populated,
    exclusive,
    reclaimed,
    block,
    inBlock: seen.inBlock,
    leftInBlock: seen.leftInBlock,
    offlineError: seen.offlineError,
    blockState: seen.blockState,
    dump: firstDump(dmesg.lines),
    checked: said.trim().split("\n").at(-1)!,
    reclaimError: seen.reclaimError,
    swapUsed: seen.swapUsed,
  };
}
