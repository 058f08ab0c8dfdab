import { fileURLToPath } from "node:url";
import { Dmirror, PAGE_SIZE, resolvePatches, RssKind } from "@faultline/kernel";
import { LinuxMachine, parseOperatorLine, type OperatorLine } from "@faultline/riscv";
import { ENVIRONMENT, readProgram, TURNS } from "./run.js";

/** Figures of smaps_rollup, in kB. */
export interface Sample {
  readonly rss: number;
  readonly swap: number;
}

/** What one kernel did in the story. */
export interface StoryResult {
  readonly populated: Sample;
  readonly exclusive: Sample;
  readonly reclaimed: Sample;
  /** What the write to memory.reclaim said; null when it succeeded. */
  readonly reclaimError: string | null;
  /** Swap space in use at the end, in kB. */
  readonly swapUsed: number;
}

export interface StoryWish {
  readonly release: string;
  /** Size of the range in MiB. */
  readonly mib: number;
}

const LOOK = "cat /proc/$PID/smaps_rollup";
const CONTINUE = "kill -CONT $PID";
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

/** Three thirds of the way: touching, taking, reclaiming. */
const STAGES = 3;

/**
 * Runs exclusive-swap on a machine of three times its size, in memory and in swap, looks at it at
 * each stage, and asks for all of it to be reclaimed. `progress` gets a number from 0 to 1.
 */
export function runStory(wish: StoryWish, progress: (done: number) => void): StoryResult {
  const path = fileURLToPath(new URL("../../../programs/prebuilt/exclusive-swap", import.meta.url));
  const overlays = resolvePatches({ release: wish.release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const bytes = 3 * wish.mib * 2 ** 20;
  const pages = (wish.mib * 2 ** 20) / PAGE_SIZE;

  const samples: Sample[] = [];
  let text = "";
  let begun = 0;
  let reclaimError: string | null = null;
  const linux = new LinuxMachine({
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
    stdout: () => {},
    stderr: () => {},
    lines: [LOOK, CONTINUE, LOOK, reclaim(wish.mib), LOOK].map(lineOf),
    operatorOutput: {
      begins: () => {
        begun++;
      },
      stdout: (chunk) => {
        text += new TextDecoder().decode(chunk);
      },
      failure: (message, line) => {
        reclaimError = message.slice(line.text.length + 2);
      },
      ended: (line) => {
        if (line.kind === "cat") samples.push(sampleOf(text));
        text = "";
      },
    },
  });

  const { m } = linux;
  const stageDone = (): number => {
    const { program } = linux;
    if (program === null) return 0;
    if (begun === 0) return (program.mm?.rss[RssKind.anon] ?? 0) / pages;
    if (begun < 4) {
      const device = program.files.get(3)?.data;
      return device instanceof Dmirror ? device.table.size / pages : 0;
    }
    return m.swap.used / pages;
  };
  while (linux.runFor(TURNS) === null) {
    const stage = begun === 0 ? 0 : begun < 4 ? 1 : 2;
    progress((stage + Math.min(1, stageDone())) / STAGES);
  }
  const [populated, exclusive, reclaimed] = samples;
  if (populated === undefined || exclusive === undefined || reclaimed === undefined) {
    throw new Error(`the program ended early: ${m.dmesg.lines.at(-1) ?? "no reason logged"}`);
  }
  return { populated, exclusive, reclaimed, reclaimError, swapUsed: (m.swap.used * PAGE_SIZE) / 1024 };
}
