import { Madv, MapFlag, Mremap, Prot, SeededChoices } from "@faultline/kernel";
import type { Kind, Operation } from "./operations.js";

/** Two page tables' worth of small pages around their border, and two ranges that huge pages fit. */
const SMALL_FIRST = 500;
const SMALL_PAGES = 24;
const HUGE_FIRST = 1024;
const HUGE_PAGES = 512;
const PROCESSES = 4;

/** PROT_EXEC alone is left out: with it, x86 reads and riscv does not. */
const PROTECTIONS = [Prot.READ | Prot.WRITE, Prot.READ | Prot.WRITE, Prot.READ | Prot.WRITE, Prot.READ, Prot.READ, 0, Prot.WRITE, Prot.READ | Prot.EXEC, 7];
/** Advice that the arena's kinds of memory take; 7 is none. */
const ADVICE = [0, 1, 2, 3, 4, 4, 4, 8, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 7];

const WEIGHTS: Readonly<Record<Kind, number>> = {
  map: 6, unmap: 3, protect: 6, remap: 6, advise: 10, fork: 3, reap: 2, store: 14, load: 8, send: 3, receive: 3, check: 3, msync: 1, mlock: 2,
  munlock: 2, mlock2: 1,
};
/** What makes nothing interesting by being left out. */
const ALWAYS: readonly Kind[] = ["map", "store", "load"];

/** The operations that a seed stands for. */
export function generate(seed: number, length: number): Operation[] {
  return new Generator(seed).list(length);
}

class Generator {
  private readonly choices: SeededChoices;
  private readonly kinds: readonly Kind[];
  private readonly huge: boolean;
  private readonly advice: readonly number[];

  constructor(seed: number) {
    this.choices = new SeededChoices(seed);
    this.huge = this.oneIn(4);
    // Each leaves out a part of what there is, so that what is left goes deep (Groce et al., "Swarm Testing", 2012).
    const kinds = (Object.keys(WEIGHTS) as Kind[]).filter((kind) => ALWAYS.includes(kind) || !this.oneIn(3));
    this.kinds = kinds.flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind));
    this.advice = this.oneIn(2) ? ADVICE : ADVICE.filter(() => this.oneIn(3)).concat(0);
  }

  list(length: number): Operation[] {
    const first = this.huge
      ? [this.mapping(HUGE_FIRST, 2 * HUGE_PAGES), { kind: "advise", process: 0, args: { page: HUGE_FIRST, pages: 2 * HUGE_PAGES, advice: Madv.HUGEPAGE } } as const]
      : [this.mapping(SMALL_FIRST, SMALL_PAGES)];
    return [...first, ...Array.from({ length: length - first.length }, () => this.operation())];
  }

  private mapping(page: number, pages: number): Operation {
    return { kind: "map", process: 0, args: { page, pages, prot: Prot.READ | Prot.WRITE, flags: MapFlag.PRIVATE | MapFlag.FIXED } };
  }

  private below(n: number): number {
    return this.choices.pick("difftest", n);
  }

  private oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  private operation(): Operation {
    const kind = this.pick(this.kinds);
    const process = this.oneIn(2) ? 0 : this.below(PROCESSES);
    return { kind, process, args: this.args(kind) };
  }

  /** A few pages, or now and then all that there are. */
  private range(): { page: number; pages: number } {
    if (this.huge && !this.oneIn(4)) {
      const page = HUGE_FIRST + this.below(2) * HUGE_PAGES;
      if (this.oneIn(3)) return { page, pages: HUGE_PAGES };
      const within = this.below(HUGE_PAGES);
      return { page: page + within, pages: 1 + this.below(this.oneIn(2) ? 4 : HUGE_PAGES) };
    }
    const page = SMALL_FIRST + this.below(SMALL_PAGES);
    return { page, pages: this.oneIn(8) ? SMALL_PAGES : 1 + this.below(this.oneIn(2) ? 2 : 8) };
  }

  /** Addresses within a page and lengths that are no number of pages, now and then; and worse. */
  private odd(): { within?: number; longer?: number } {
    if (!this.oneIn(12)) return {};
    switch (this.below(4)) {
      case 0:
        return { within: this.pick([1, 0xfff, 0x800]) };
      case 1:
        return { longer: this.pick([1, 0x800, -1 >>> 0, -0xfff >>> 0]) };
      case 2:
        return { longer: -0x40000000 >>> 0 };
      default:
        return { within: 1, longer: 1 };
    }
  }

  private args(kind: Kind): Record<string, number> {
    const range = this.range();
    switch (kind) {
      case "map": {
        let flags: number = MapFlag.PRIVATE | (this.oneIn(8) ? MapFlag.FIXED_NOREPLACE : MapFlag.FIXED);
        for (const flag of [MapFlag.NORESERVE, MapFlag.POPULATE, MapFlag.NONBLOCK, MapFlag.STACK]) if (this.oneIn(6)) flags |= flag;
        return { ...range, prot: this.pick(PROTECTIONS), flags, ...this.odd() };
      }
      case "unmap":
      case "mlock":
      case "munlock":
        return { ...range, ...this.odd() };
      case "mlock2":
        return { ...range, flags: this.pick([0, 1, 1, 2]), ...this.odd() };
      case "protect":
        return { ...range, prot: this.pick(PROTECTIONS), ...this.odd() };
      case "remap": {
        const flags = this.pick([0, 0, Mremap.MAYMOVE | Mremap.FIXED, Mremap.MAYMOVE | Mremap.FIXED, Mremap.MAYMOVE | Mremap.FIXED, 7, Mremap.FIXED]);
        const newPages = this.oneIn(2) || flags === 7 ? range.pages : this.range().pages;
        return { ...range, newPages, flags, to: this.range().page, ...this.odd() };
      }
      case "advise":
        return { ...range, advice: this.pick(this.advice), ...this.odd() };
      case "fork":
      case "reap":
        return { child: this.below(PROCESSES) };
      case "store":
        return { ...range, pages: Math.min(range.pages, 8), offset: this.below(4) * 1024, value: 1 + this.below(200) };
      case "load":
        return { ...range, pages: Math.min(range.pages, 8), offset: this.below(4) * 1024 };
      case "check":
        return { ...range, offset: this.below(4) * 1024 };
      case "send":
        return { ...range, pages: Math.min(range.pages, 8), ...(this.oneIn(2) ? { within: this.below(4096) } : {}) };
      case "receive":
        return { ...range, pages: Math.min(range.pages, 8), value: 1 + this.below(200), ...(this.oneIn(2) ? { within: this.below(4096) } : {}) };
      case "msync":
        return { ...range, flags: this.below(8), ...this.odd() };
    }
  }
}
