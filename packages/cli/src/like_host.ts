import { readdirSync, readFileSync } from "node:fs";
import { RLIM_INFINITY, Rlimit, type ResourceLimit } from "@faultline/kernel";
import { parseOperatorLine, type OperatorLine, type OperatorOutput } from "@faultline/riscv";
import { UserError } from "./failure.js";

const THP = "/sys/kernel/mm/transparent_hugepage";
const VM = "/proc/sys/vm";
const SETTINGS = [
  ...["enabled", "defrag", "shmem_enabled", "use_zero_page"].map((name) => `${THP}/${name}`),
  ...["overcommit_memory", "overcommit_ratio", "max_map_count"].map((name) => `${VM}/${name}`),
];
const THP_SIZE = /^hugepages-\d+kB$/;
/** A machine has no more swap. */
const SWAP_MAX = 2 ** 36;
const PAGE = 4096;

/** What /proc/self/limits calls each limit. */
const LIMIT_NAMES: Readonly<Record<string, Rlimit>> = {
  "Max cpu time": Rlimit.CPU,
  "Max file size": Rlimit.FSIZE,
  "Max data size": Rlimit.DATA,
  "Max stack size": Rlimit.STACK,
  "Max core file size": Rlimit.CORE,
  "Max resident set": Rlimit.RSS,
  "Max processes": Rlimit.NPROC,
  "Max open files": Rlimit.NOFILE,
  "Max locked memory": Rlimit.MEMLOCK,
  "Max address space": Rlimit.AS,
};

function read(path: string): string | null {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return null;
  }
}

/** A line of our own making. */
export function operatorLine(text: string): OperatorLine {
  const line = parseOperatorLine(text);
  if (typeof line === "string") throw new Error(`${text}: ${line}`);
  return line;
}

/** `always [madvise] never` is madvise. */
function chosen(text: string): string {
  return /\[([^\]]+)\]/.exec(text)?.[1] ?? text;
}

/**
 * The settings of the Linux underneath that programs can tell: swap, huge pages, overcommit, limits.
 * A machine that is to be like it does `lines` before anything else.
 */
export class LikeHost {
  readonly swapBytes: number;
  readonly limits: ReadonlyMap<Rlimit, ResourceLimit>;
  readonly lines: readonly OperatorLine[];
  /** What the host has and the machine cannot have, a line each. */
  readonly missing: string[] = [];
  private readonly wanted = new Map<OperatorLine, { readonly path: string; readonly value: string }>();
  /** What the machine's own files say, by their path. */
  private readonly own = new Map<string, string>();
  private reading: string | null = null;

  /** @throws UserError where there is no Linux underneath */
  constructor() {
    if (process.platform !== "linux") throw new UserError(`--like-host needs Linux underneath, and this is ${process.platform}`);
    const kilobytes = Number(/^SwapTotal:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "")?.[1] ?? "0");
    this.swapBytes = Math.min(Math.floor((kilobytes * 1024) / PAGE) * PAGE, SWAP_MAX);
    this.limits = hostLimits(read("/proc/self/limits") ?? "");
    this.lines = this.settings().flatMap((path) => this.linesFor(path));
  }

  private settings(): string[] {
    let sizes: string[] = [];
    try {
      sizes = readdirSync(THP).filter((name) => THP_SIZE.test(name));
    } catch {
      // A host without huge pages.
    }
    return [...SETTINGS, ...sizes.map((name) => `${THP}/${name}/enabled`)];
  }

  private linesFor(path: string): OperatorLine[] {
    const text = read(path);
    if (text === null) {
      if (path === `${THP}/enabled`) this.missing.push("the host has no transparent huge pages");
      return [];
    }
    const value = chosen(text);
    const [show, set] = [operatorLine(`cat ${path}`), operatorLine(`echo ${value} > ${path}`)];
    this.wanted.set(set, { path, value });
    this.wanted.set(show, { path, value });
    return [show, set];
  }

  /** An output that keeps to itself what the lines of this say. */
  around(output: OperatorOutput): OperatorOutput {
    return {
      stdout: (bytes) => {
        if (this.reading === null) output.stdout(bytes);
        else this.own.set(this.reading, chosen(Buffer.from(bytes).toString("latin1").trim()));
      },
      failure: (message, line, errno) => {
        const setting = this.wanted.get(line);
        if (setting === undefined) output.failure(message, line, errno);
        // A file that cannot be written, and says the right thing, is as good.
        else if (line.kind === "echo" && this.own.get(setting.path) !== setting.value) {
          const has = this.own.get(setting.path);
          this.missing.push(`${setting.path} is ${setting.value} on the host; here ${has === undefined ? "there is none" : `it stays ${has}`}`);
        }
      },
      begins: (line) => {
        this.reading = line.kind === "cat" ? (this.wanted.get(line)?.path ?? null) : null;
        if (!this.wanted.has(line)) output.begins?.(line);
      },
      ended: (line) => {
        this.reading = null;
        if (!this.wanted.has(line)) output.ended?.(line);
      },
    };
  }
}

function hostLimits(text: string): Map<Rlimit, ResourceLimit> {
  const value = (word: string): bigint => (word === "unlimited" ? RLIM_INFINITY : BigInt(word));
  const limits = new Map<Rlimit, ResourceLimit>();
  for (const [, name, current, maximum] of text.matchAll(/^(Max [a-z ]+?) {2,}(\d+|unlimited) +(\d+|unlimited)/gm)) {
    const limit = LIMIT_NAMES[name!];
    if (limit !== undefined) limits.set(limit, { current: value(current!), maximum: value(maximum!) });
  }
  return limits;
}
