import type { Choices } from "@faultline/kernel";
import { ADVICE, type Advice, type Operation, type Program, type ProgramThread } from "./fuzz_program.js";

export interface GenerateOptions {
  /** Threads of each program, 1 to 8; two or three, and more now and then, by default. */
  readonly threads?: number;
  /**
   * Whether pages that devices have exclusively can be moved: since 6.15. Before, offlining them goes
   * on for ever, and an attempt to move a large folio leaks references where a device has some of its
   * pages exclusively: no program has these together.
   */
  readonly movable: boolean;
}

const THREADS_MAX = 8;
/** Large folios have so many pages: the smallest that anonymous memory may have. */
export const LARGE_PAGES = 4;

/**
 * What one program is about. Programs that do a little of everything do little of it deeply
 * (Groce et al., "Swarm Testing", ISSTA 2012): each leaves out about half of what there is.
 */
interface Features {
  readonly kinds: readonly Operation["kind"][];
  readonly advice: readonly Advice[];
  /** Devices may have pages exclusively. */
  readonly exclusive: boolean;
}

/** Draws programs. */
export class Generator {
  constructor(
    private readonly choices: Choices,
    private readonly options: GenerateOptions,
  ) {}

  next(): Program {
    const big = this.oneIn(8);
    const large = this.oneIn(8);
    const pages = large ? LARGE_PAGES : this.oneIn(2) ? 1 : 1 + this.below(big ? 6 : 3);
    const total = this.options.threads ?? (this.oneIn(2) ? 2 : big ? 4 : 3);
    // At least one CPU, for setup and check; devices from none to two.
    const engines = Math.min(total - 1, this.oneIn(4) ? 0 : this.oneIn(6) ? 2 : 1, 2);
    const cpus = Math.min(THREADS_MAX, total - engines);
    const devices = Math.max(engines, this.oneIn(6) ? 0 : 1);
    const populated = Array.from({ length: pages }, () => !this.oneIn(4));
    const swapSlots = this.oneIn(4) ? 0 : 16;
    const features = this.features(devices, large, populated);
    const threads: ProgramThread[] = [];
    for (let i = 0; i < total; i++) {
      const on = i < cpus ? { cpu: i } : { device: i - cpus };
      const length = 1 + this.below(big ? 8 : 4);
      const operations = Array.from({ length }, (_, at) => this.operation({ features, pages, populated, devices, on, word: i + 1, bit: i * 10 + at }));
      threads.push({ on, operations });
    }
    return { cpus, devices, swapSlots, large, pages, populated, setup: this.setup(features, devices, pages, total), threads, watched: null };
  }

  private below(n: number): number {
    return this.choices.pick("program", n);
  }

  private oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  private features(devices: number, large: boolean, populated: readonly boolean[]): Features {
    const some = <T>(from: readonly T[]): T[] => from.filter(() => this.oneIn(2));
    const kinds: Operation["kind"][] = ["store", ...some(["load", "add", "madvise", "mprotect", "munmap", "gup", "reclaim"] as const)];
    if (devices > 0) kinds.push(...some(["exclusive", "mirror", "device-load", "device-store", "device-add", "device-add"] as const));
    // Nothing may come to stand in an emptied frame that cannot be moved: page tables, pinned pages.
    const fixed = large || kinds.includes("munmap") || kinds.includes("gup");
    if (populated.includes(true) && this.oneIn(2)) kinds.push(!fixed && this.oneIn(2) ? "offline" : "migrate");
    if (kinds.includes("munmap")) kinds.push("mmap");
    const advice = some(ADVICE);
    const moves = kinds.includes("offline") || (large && kinds.includes("migrate"));
    const exclusive = this.options.movable || !moves;
    return { kinds: exclusive ? kinds : kinds.filter((kind) => kind !== "exclusive" && kind !== "device-add"), advice: advice.length === 0 ? ["DONTNEED"] : advice, exclusive };
  }

  /** What has happened to the pages before the threads meet. */
  private setup(features: Features, devices: number, pages: number, threads: number): Operation[] {
    const setup: Operation[] = [];
    const whole = { page: 0, pages };
    const word = 1 + this.below(threads);
    if (this.oneIn(3)) setup.push({ kind: "store", device: 0, page: this.below(pages), word, value: 1000 });
    // Else folio batches hold references, and hardly a page is freed or moved.
    if (!this.oneIn(4)) setup.push({ kind: "drain" });
    if (features.kinds.includes("mprotect") && this.oneIn(3)) setup.push({ kind: "mprotect", ...whole, prot: this.oneIn(2) ? "READ" : "NONE" });
    if (features.advice.includes("FREE") && this.oneIn(2)) setup.push({ kind: "madvise", ...whole, advice: "FREE" });
    if (features.advice.includes("PAGEOUT") && this.oneIn(2)) setup.push({ kind: "madvise", ...whole, advice: "PAGEOUT" });
    if (devices > 0 && this.oneIn(2)) {
      const device = this.below(devices);
      setup.push(features.exclusive && this.oneIn(2) ? { kind: "exclusive", ...whole, device } : { kind: "mirror", ...whole, device, write: this.oneIn(2) });
    }
    if (setup.length > 0 && setup.at(-1)!.kind !== "drain" && !this.oneIn(3)) setup.push({ kind: "drain" });
    return setup;
  }

  private operation(at: {
    features: Features;
    pages: number;
    populated: readonly boolean[];
    devices: number;
    on: ProgramThread["on"];
    word: number;
    bit: number;
  }): Operation {
    const { features, pages, populated, devices, on } = at;
    const kind = this.kindFor(features, "device" in on);
    const page = this.oneIn(2) ? 0 : this.below(pages);
    const device = "device" in on ? on.device : devices === 0 ? 0 : this.below(devices);
    const range = { page, pages: this.oneIn(2) ? 1 : 1 + this.below(pages - page) };
    switch (kind) {
      case "load":
      case "store":
      case "device-load":
      case "device-store":
        return { kind, device, page, word: at.word, value: 100 * at.word + (at.bit % 10) + 1 };
      case "add":
      case "device-add":
        // Sums of powers of two tell which were lost; bit 31 would be a sign.
        if (at.bit < 31 && this.oneIn(2)) return { kind, device, page, word: 0, value: 2 ** at.bit };
        return { kind, device, page, word: at.word, value: 1 + this.below(9) };
      case "madvise":
        return { kind, ...range, advice: this.pick(features.advice) };
      case "mprotect":
        return { kind, ...range, prot: this.pick(["NONE", "READ", "READ_WRITE", "READ_WRITE"] as const) };
      case "munmap":
      case "mmap":
        return { kind, ...range };
      case "gup":
        return { kind, page, write: this.oneIn(2), hold: this.oneIn(4) };
      case "reclaim":
        return { kind, pages: 1 + this.below(2) };
      case "exclusive":
        return { kind, ...range, device };
      case "mirror":
        return { kind, ...range, device, write: this.oneIn(2) };
      case "migrate":
      case "offline": {
        const there = populated[page]! ? page : populated.indexOf(true);
        return { kind, page: there };
      }
      case "drain":
        return { kind };
    }
  }

  /** A device's own engine does what devices do. */
  private kindFor({ kinds, exclusive }: Features, engine: boolean): Operation["kind"] {
    if (!engine) return this.pick(kinds);
    const mine = kinds.filter((kind) => kind.startsWith("device-") || kind === "exclusive" || kind === "mirror");
    if (mine.length > 0) return this.pick(mine);
    return exclusive ? this.pick(["mirror", "device-add"] as const) : "mirror";
  }
}
