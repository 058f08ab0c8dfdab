import { FallocFl, Madv, MapFlag, Mremap, Prot, Seal, SeededChoices, UffdFeature } from "@faultline/kernel";
import { HUGE_FILE, kindsOf, type Kind, type Operation } from "./operations.js";

/** Two page tables' worth of small pages around their border, and two ranges that huge pages fit. */
const SMALL_FIRST = 500;
const SMALL_PAGES = 24;
const HUGE_FIRST = 1024;
const HUGE_PAGES = 512;
const PROCESSES = 4;

/** PROT_EXEC alone is left out: with it, x86 reads and riscv does not. */
const PROTECTIONS = [Prot.READ | Prot.WRITE, Prot.READ | Prot.WRITE, Prot.READ | Prot.WRITE, Prot.READ, Prot.READ, 0, Prot.WRITE, Prot.READ | Prot.EXEC, 7];
/** Advice that the arena's kinds of memory take; 7 is none. */
const ADVICE = [0, 1, 2, 3, 4, 4, 4, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 102, 103, 7];
/** Of files' memory. */
const FILE_ADVICE = [Madv.REMOVE, Madv.REMOVE, Madv.DONTNEED];
/** What a Linux must have something for. */
const FAMILIES = ["files", "userfaultfd", "heap"];
const UFFD_FEATURES = [UffdFeature.PAGEFAULT_FLAG_WP, UffdFeature.WP_UNPOPULATED, UffdFeature.WP_HUGETLBFS_SHMEM, UffdFeature.EXACT_ADDRESS, UffdFeature.MINOR_SHMEM];
/** MISSING is 1, WP 2, MINOR 4. */
const UFFD_WP_MODES = [2, 2, 2, 3, 3, 6, 7];
const UFFD_OTHER_MODES = [1, 1, 4, 5, 8];
/** PAGE_IS_WPALLOWED, FILE, PRESENT, SWAPPED, PFNZERO, HUGE and GUARD: not SOFT_DIRTY, which is not everywhere. */
const CATEGORIES = [0, 2, 3, 4, 5, 6, 8];
/** Files that can be written to, as programs/difftest.c counts them, and the last for reading alone. */
const WRITABLE_FILES = 2;
const FILES = 3;
/** Nothing, O_APPEND, O_DIRECT and O_NONBLOCK. */
const FILE_FLAGS = [0, 0, 0o2000, 0o40000, 0o4000];
/** RLIMIT_DATA, RLIMIT_STACK and RLIMIT_AS. */
const LIMITS = [2, 3, 9];
const UNLIMITED = 0xffff;
/** Below the first page, where stacks grow to. */
const BELOW = 12;
const PROT_GROWSDOWN = 0x1000000;
const PAGE_SIZE = 4096;
const PUNCH = FallocFl.PUNCH_HOLE | FallocFl.KEEP_SIZE;

const WEIGHTS: Readonly<Record<Kind, number>> = {
  map: 6, unmap: 3, protect: 6, remap: 6, advise: 10, fork: 3, reap: 2, store: 14, load: 8, send: 3, receive: 3, check: 3, msync: 1, mlock: 2,
  munlock: 2, mlock2: 1, mapfile: 6, pwrite: 4, pread: 2, writefrom: 2, readinto: 2, truncate: 2, fallocate: 4, seal: 1, fadvise: 1,
  uffd: 1, register: 6, unregister: 2, copy: 5, zeropage: 3, continue: 3, writeprotect: 6, poison: 2, move: 5, wake: 1, scan: 5, clearrefs: 2,
  padvise: 3, peek: 2, poke: 2, mseal: 1, maphuge: 8, heap: 1, brk: 10, limit: 2, setfl: 1, remapfile: 1,
};
/** Kinds that make much of the rest fail: one list in so many has them. */
const RARE: Readonly<Partial<Record<Kind, number>>> = { mseal: 8, limit: 8 };

/** What makes nothing interesting by being left out. */
const ALWAYS: readonly Kind[] = ["map", "store", "load"];

/** Bytes that a processor reads, at the most, before it writes the first of them, when the kernel copies for user space. */
const READ_AHEAD = 64;

/**
 * Bytes of a file may come from its own page by way of a mapping, or go to it. Where they would go to just ahead of
 * where they come from, they go 64 bytes further.
 */
function notJustAhead(kind: "writefrom" | "readinto", args: Record<string, number>): Record<string, number> {
  const { past = 0, within = 0 } = args;
  const ahead = ((kind === "writefrom" ? past - within : within - past) + PAGE_SIZE) % PAGE_SIZE;
  if (ahead === 0 || ahead >= READ_AHEAD) return args;
  const name = kind === "writefrom" ? "past" : "within";
  return { ...args, [name]: ((args[name] ?? 0) + READ_AHEAD) % PAGE_SIZE };
}

/** The operations that a seed stands for. */
export function generate(seed: number, length: number): Operation[] {
  return new Generator(seed).list(length);
}

class Generator {
  private readonly choices: SeededChoices;
  private readonly kinds: readonly Kind[];
  private readonly huge: boolean;
  /** Whether there are stacks. */
  private readonly grows: boolean;
  /** What of the rest there is, for which a Linux must have something. */
  private readonly families: ReadonlySet<string>;
  private readonly uffdModes: readonly number[];
  private readonly advice: readonly number[];

  constructor(seed: number) {
    this.choices = new SeededChoices(seed);
    this.huge = this.oneIn(3);
    this.grows = this.oneIn(6);
    const families = FAMILIES.filter((_, i) => this.oneIn(2 + i));
    this.families = new Set(this.huge && this.oneIn(2) ? [...families, "hugetlb"] : families);
    const others = [...FAMILIES, "hugetlb"].filter((family) => !this.families.has(family)).flatMap(kindsOf);
    // Never without WP what has been with it: since 7.3 that is refused.
    this.uffdModes = this.oneIn(3) ? UFFD_OTHER_MODES : UFFD_WP_MODES;
    // Each leaves out a part of what there is, so that what is left goes deep (Groce et al., "Swarm Testing", 2012).
    const kinds = (Object.keys(WEIGHTS) as Kind[]).filter((kind) => ALWAYS.includes(kind) || (!others.includes(kind) && !this.oneIn(3) && this.oneIn(RARE[kind] ?? 1) && ((kind !== "peek" && kind !== "poke") || !this.huge)));
    this.kinds = kinds.flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind));
    // What reads through an entry of 2 MiB marks it as used on riscv64 alone.
    const advice = (this.families.has("files") ? ADVICE.concat(FILE_ADVICE) : ADVICE).filter((one) => !this.huge || one !== Madv.POPULATE_READ);
    // Over marks of a userfaultfd in files Linux puts guards again and again, without end.
    if (this.families.has("files") && this.families.has("userfaultfd")) advice.splice(advice.indexOf(Madv.GUARD_INSTALL), 1);
    this.advice = this.oneIn(2) ? advice : advice.filter(() => this.oneIn(3)).concat(0);
  }

  list(length: number): Operation[] {
    const all = this.huge ? { page: HUGE_FIRST, pages: 2 * HUGE_PAGES } : { page: SMALL_FIRST, pages: SMALL_PAGES };
    const first: Operation[] = [this.firstMapping(all)];
    const op = (kind: Kind, args: Record<string, number>): void => void first.push({ kind, process: 0, args });
    if (this.huge) op("advise", { ...all, advice: Madv.HUGEPAGE });
    if (this.families.has("files")) for (let file = 0; file < WRITABLE_FILES; file++) op("truncate", { file, pages: all.pages });
    if (this.families.has("files") && this.families.has("hugetlb")) op("truncate", { file: HUGE_FILE, pages: all.pages });
    if (this.families.has("heap")) op("heap", this.range());
    if (this.families.has("userfaultfd")) {
      op("uffd", { features: this.uffdFeatures() });
      op("register", { ...all, mode: this.pick(this.uffdModes) });
    }
    return [...first, ...Array.from({ length: length - first.length }, () => this.operation())];
  }

  private firstMapping(range: { page: number; pages: number }): Operation {
    const prot = Prot.READ | Prot.WRITE;
    if (this.families.has("hugetlb") && this.oneIn(2)) return { kind: "maphuge", process: 0, args: { ...range, prot, flags: this.sharing() | MapFlag.FIXED } };
    if (!this.families.has("files") || this.oneIn(3)) return { kind: "map", process: 0, args: { ...range, prot, flags: this.sharing() | MapFlag.FIXED } };
    return { kind: "mapfile", process: 0, args: { ...range, prot, flags: this.sharing() | MapFlag.FIXED, file: this.below(WRITABLE_FILES) } };
  }

  /** Shared memory is a file's, too. */
  private sharing(): MapFlag {
    return this.families.has("files") && this.oneIn(2) ? MapFlag.SHARED : MapFlag.PRIVATE;
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
      if (this.families.has("hugetlb") && this.oneIn(3)) return { page: HUGE_FIRST, pages: 2 * HUGE_PAGES };
      if (this.oneIn(this.families.has("hugetlb") ? 2 : 3)) return { page, pages: HUGE_PAGES };
      const within = this.below(HUGE_PAGES);
      return { page: page + within, pages: 1 + this.below(this.oneIn(2) ? 4 : HUGE_PAGES) };
    }
    const page = SMALL_FIRST + this.below(SMALL_PAGES) - (this.grows && this.oneIn(4) ? this.below(BELOW) : 0);
    return { page, pages: this.oneIn(8) ? SMALL_PAGES : 1 + this.below(this.oneIn(2) ? 2 : 8) };
  }

  /** Pages of a file. */
  private stretch(): { offset: number; pages: number } {
    if (this.huge && !this.oneIn(4)) {
      const offset = this.below(2) * HUGE_PAGES;
      if (this.oneIn(this.families.has("hugetlb") ? 2 : 3)) return { offset, pages: HUGE_PAGES };
      const within = this.below(HUGE_PAGES);
      return { offset: offset + within, pages: 1 + this.below(this.oneIn(2) ? 4 : HUGE_PAGES) };
    }
    return { offset: this.below(SMALL_PAGES), pages: this.oneIn(8) ? SMALL_PAGES : 1 + this.below(this.oneIn(2) ? 2 : 8) };
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
        let flags: number = this.sharing() | (this.oneIn(8) ? MapFlag.FIXED_NOREPLACE : MapFlag.FIXED);
        for (const flag of [MapFlag.NORESERVE, MapFlag.POPULATE, MapFlag.NONBLOCK, MapFlag.STACK]) if (this.oneIn(6)) flags |= flag;
        if (this.oneIn(12)) flags |= MapFlag.LOCKED;
        if (this.grows && this.oneIn(3)) flags |= MapFlag.GROWSDOWN;
        if (this.oneIn(24)) flags = (flags & ~MapFlag.TYPE) | MapFlag.DROPPABLE;
        return { ...range, prot: this.pick(PROTECTIONS), flags, ...this.odd() };
      }
      case "mapfile": {
        let flags: number = (this.oneIn(2) ? MapFlag.SHARED : MapFlag.PRIVATE) | (this.oneIn(8) ? MapFlag.FIXED_NOREPLACE : MapFlag.FIXED);
        for (const flag of [MapFlag.NORESERVE, MapFlag.POPULATE, MapFlag.NONBLOCK]) if (this.oneIn(6)) flags |= flag;
        if (this.oneIn(12)) flags |= MapFlag.LOCKED;
        const offset = this.oneIn(3) ? range.page % (this.huge ? HUGE_PAGES : SMALL_FIRST) : this.stretch().offset;
        return { ...range, prot: this.pick(PROTECTIONS), flags, file: this.file(), offset, ...this.odd() };
      }
      case "unmap":
      case "mlock":
      case "munlock":
        return { ...range, ...this.odd() };
      case "mlock2":
        return { ...range, flags: this.pick([0, 1, 1, 2]), ...this.odd() };
      case "protect":
        return { ...range, prot: this.pick(PROTECTIONS) | (this.grows && this.oneIn(8) ? PROT_GROWSDOWN : 0), ...this.odd() };
      case "remap": {
        const flags = this.pick([0, 0, Mremap.MAYMOVE | Mremap.FIXED, Mremap.MAYMOVE | Mremap.FIXED, Mremap.MAYMOVE | Mremap.FIXED, 7, Mremap.FIXED, 8]);
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
      case "pwrite":
        return { file: this.file(), ...this.stretch(), value: 1 + this.below(200), ...this.oddStretch() };
      case "pread":
        return { file: this.file(), ...this.stretch(), ...this.oddStretch() };
      case "writefrom":
      case "readinto":
        return notJustAhead(kind, { ...range, pages: Math.min(range.pages, 8), file: this.file(), offset: this.stretch().offset, past: this.oneIn(2) ? this.below(4096) : 0, ...(this.oneIn(2) ? { within: this.below(4096) } : {}) });
      case "truncate":
        return { file: this.file(), pages: this.stretch().offset + this.below(2), longer: this.oneIn(3) ? this.below(4096) : 0, ...(this.oneIn(20) ? this.odd() : {}) };
      case "fallocate":
        return { file: this.file(), ...this.stretch(), mode: this.oneIn(10) ? this.below(128) : this.pick([0, FallocFl.KEEP_SIZE, PUNCH, PUNCH, PUNCH]), ...this.oddStretch() };
      case "seal":
        return { file: this.file(), seals: this.oneIn(4) ? this.below(64) : this.pick([Seal.SHRINK, Seal.GROW, Seal.WRITE, Seal.FUTURE_WRITE]) };
      case "fadvise":
        return { file: this.file(), ...this.stretch(), advice: this.below(7), ...this.oddStretch() };
      case "uffd":
        return { features: this.uffdFeatures() };
      case "register":
        return { ...range, mode: this.pick(this.uffdModes), ...this.odd() };
      case "unregister":
      case "wake":
        return { ...range, ...this.odd() };
      case "copy":
        return { ...range, pages: this.families.has("hugetlb") ? range.pages : Math.min(range.pages, 16), mode: this.pick([0, 0, 1, 2, 2, 4]), from: this.range().page, past: this.oneIn(6) ? this.below(4096) : 0, ...this.odd() };
      case "move":
        return { ...range, mode: this.pick([0, 1, 2, 2, 3, 4]), from: this.range().page, past: this.oneIn(20) ? this.below(4096) : 0, ...this.odd() };
      case "zeropage":
      case "poison":
        return { ...range, mode: this.pick([0, 0, 1, 2]), ...this.odd() };
      case "continue":
        return { ...range, mode: this.pick([0, 0, 1, 2, 2, 4]), ...this.odd() };
      case "writeprotect":
        return { ...range, mode: this.pick([0, 1, 1, 1, 2, 3, 4]), ...this.odd() };
      case "scan": {
        const [mask, inverted, anyOf] = [this.categories(), this.categories(), this.categories()];
        const limits = this.pick([0, 1, 2, 31, 31]) + 32 * this.pick([0, 0, 0, 1, 5]);
        return { ...range, flags: this.pick([0, 0, 1, 1, 2, 3, 3, 4]), masks: mask | (inverted << 10) | (anyOf << 20), returns: this.categories() | this.categories(), limits, ...this.odd() };
      }
      case "clearrefs":
        return { what: this.pick([4, 4, 5, 0, 6]) };
      case "padvise":
        return { ...range, target: this.below(PROCESSES), advice: this.pick(this.advice), ...this.odd() };
      case "peek":
        return { ...range, pages: Math.min(range.pages, 8), target: this.below(PROCESSES), from: this.range().page, within: this.oneIn(2) ? this.below(4096) : 0 };
      case "poke":
        return { ...range, pages: Math.min(range.pages, 8), target: this.below(PROCESSES), to: this.range().page, within: this.oneIn(2) ? this.below(4096) : 0 };
      case "mseal":
        return { ...range, flags: this.oneIn(6) ? 1 : 0, ...this.odd() };
      case "maphuge": {
        let flags: number = (this.oneIn(2) ? MapFlag.SHARED : MapFlag.PRIVATE) | (this.oneIn(8) ? MapFlag.FIXED_NOREPLACE : MapFlag.FIXED);
        for (const flag of [MapFlag.NORESERVE, MapFlag.POPULATE, MapFlag.LOCKED]) if (this.oneIn(6)) flags |= flag;
        return { ...range, prot: this.pick(PROTECTIONS), flags, ...this.odd() };
      }
      case "heap":
        return { ...range, ...(this.oneIn(2) ? { longer: this.below(4096) } : {}) };
      case "brk":
        return { page: range.page, ...(this.oneIn(2) ? { within: this.below(4096) } : {}) };
      case "limit":
        return { what: this.pick(LIMITS), more: this.pick([0, 1, 4, 16, HUGE_PAGES, UNLIMITED, UNLIMITED, UNLIMITED]) };
      case "setfl":
        return { file: this.file(), flags: this.pick(FILE_FLAGS) };
      case "remapfile":
        return { ...range, prot: this.oneIn(8) ? 1 : 0, offset: this.stretch().offset, flags: this.pick([0, 0, MapFlag.NONBLOCK, 1]), ...this.odd() };
    }
  }

  /** A few, often none. */
  private categories(): number {
    if (this.oneIn(2)) return 0;
    return CATEGORIES.filter(() => this.oneIn(4)).reduce((all, bit) => all | (1 << bit), 0);
  }

  /** Some of those that make a difference; events, for which somebody would have to wait, never. */
  private uffdFeatures(): number {
    return UFFD_FEATURES.filter(() => !this.oneIn(3)).reduce((all, one) => all | one, this.oneIn(2) ? UffdFeature.WP_ASYNC : 0);
  }

  private file(): number {
    if (this.families.has("hugetlb") && this.oneIn(2)) return HUGE_FILE;
    return this.below(this.oneIn(4) ? FILES : WRITABLE_FILES);
  }

  /** Parts of pages, often, and what is no stretch of a file, now and then. */
  private oddStretch(): { within?: number; longer?: number } {
    if (this.oneIn(2)) return {};
    if (this.oneIn(12)) return this.pick([{ within: -0x70000000 >>> 0 }, { longer: -0x40000000 >>> 0 }]);
    return { within: this.below(4096), longer: (this.below(8192) - 4096) >>> 0 };
  }
}
