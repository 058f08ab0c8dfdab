import { Madv, Prot } from "@faultline/kernel";
import { KERNEL, type Call, type Calls } from "./calls.js";
import type { Part } from "./emit_c_parts.js";

const PAGE = 4096;
/** Mappings lie to this boundary as they did in the model: it decides about page tables and large folios. */
const ALIGNMENT = 2 ** 21;

/** Memory that the scenario maps, at `area + offset` in the program. */
export interface Mapping {
  readonly name: string;
  readonly offset: number;
  readonly pages: number;
}

/** Addresses and frames of the model, as the program has them. */
export class Places {
  readonly mappings: readonly Mapping[];
  /** Where the model has what the program calls `area`, and how far from there the last mapping ends. */
  readonly base: number;
  readonly size: number;
  /** Addresses whose frames are asked for. */
  readonly frames: number[] = [];

  constructor(logs: readonly Calls[]) {
    const pages = new Map<number, number>();
    for (const { name, args, result } of logs.flatMap(allOf)) {
      const length = args[0] ?? null;
      if (name === "mmap" && result !== null && result > 0 && length !== null) pages.set(result, Math.max(length, pages.get(result) ?? 0));
    }
    const found = [...pages].sort(([a], [b]) => a - b);
    this.base = Math.floor((found[0]?.[0] ?? 0) / ALIGNMENT) * ALIGNMENT;
    this.mappings = found.map(([addr, n], i) => ({ name: `MAP${i}`, offset: addr - this.base, pages: n }));
    this.size = Math.max(0, ...this.mappings.map(({ offset, pages: n }) => offset + n * PAGE));
  }

  /** An address in C; null when it is in no mapping. */
  at(addr: number | null): string | null {
    if (addr === null) return null;
    const offset = addr - this.base;
    const mapping = this.mappings.find((m) => offset >= m.offset && offset < m.offset + m.pages * PAGE);
    if (mapping === undefined) return null;
    return offset === mapping.offset ? mapping.name : `${mapping.name} + 0x${(offset - mapping.offset).toString(16)}`;
  }

  /** The variable for the frame of an address. */
  frameOf(addr: number): string {
    if (!this.frames.includes(addr)) this.frames.push(addr);
    return `frame${this.frames.indexOf(addr)}`;
  }
}

export function allOf({ setup, threads, check }: Calls): Call[] {
  return [...setup, ...Object.values(threads).flat(), ...check];
}

/** Whose address each frame was that `frameOf` has named. */
export function framesOf(calls: Calls): ReadonlyMap<number, number> {
  const frames = new Map<number, number>();
  for (const { name, args, result } of allOf(calls)) {
    const addr = args[0] ?? null;
    if (name === "frameOf" && addr !== null && result !== null) frames.set(result, addr);
  }
  return frames;
}

/** A call, as the program makes it. */
export interface Statement {
  readonly call: Call;
  /** The call as the scenario has it. */
  readonly source: string;
  /** An expression of C; null for what the program cannot do. */
  readonly code: string | null;
  /** What there is to say about the difference between the two. */
  readonly remark: string | null;
  /** What of the program's own functions it needs. */
  readonly parts: readonly Part[];
}

/** Writes calls as C; `mirror` is the caller's buffer for what devices copy. */
export class Translator {
  constructor(
    private readonly places: Places,
    private readonly frames: ReadonlyMap<number, number>,
  ) {}

  statement(call: Call, mirror: string): Statement {
    const { name, args } = call;
    const source = name === KERNEL ? "t.k" : `t.${name}(${args.map((arg) => this.argument(arg)).join(", ")})`;
    const nothing = { call, source, code: null, remark: null, parts: [] };
    const c = this.translate(call, mirror);
    return c === null ? nothing : { ...nothing, ...c };
  }

  private argument(arg: number | null): string {
    return arg === null ? "…" : (this.places.at(arg) ?? String(arg));
  }

  private translate({ name, args, result }: Call, mirror: string): { code: string; parts?: readonly Part[]; remark?: string } | null {
    if (args.includes(null)) return null;
    const [a = null, b = null, c = null, d = null] = args;
    const first = this.places.at(a);
    const second = this.places.at(b);
    switch (name) {
      case "mmap": {
        const mapped = this.places.at(result);
        return mapped === null ? null : { code: `map_pages(${mapped}, ${a})` };
      }
      case "munmap":
        return first === null ? null : { code: `munmap(${first}, ${b} * PAGE)` };
      case "madvise":
        return first === null || c === null ? null : { code: `madvise(${first}, ${b} * PAGE, ${adviceOf(c)})` };
      case "mprotect":
        return first === null || c === null ? null : { code: `mprotect(${first}, ${b} * PAGE, ${protOf(c)})` };
      case "load32":
        return first === null ? null : { code: `load(${first})`, parts: ["load"] };
      case "store32":
        return first === null || b === null ? null : { code: `store(${first}, ${b >>> 0})`, parts: ["store"] };
      case "atomicAdd32":
        return first === null || b === null ? null : { code: `add(${first}, ${b >>> 0})`, parts: ["add"] };
      case "reclaim":
        return { code: `reclaim(${a} * PAGE)`, parts: ["reclaim"] };
      case "drainLruBatches":
        return { code: "drain_lru_batches()", parts: ["drain"] };
      case "makeExclusive":
        return second === null ? null : { code: command("EXCLUSIVE", a, second, c, mirror), parts: ["device"] };
      case "deviceFault":
        if (second === null) return null;
        return d === 1
          ? { code: command("WRITE", a, second, c, "pattern"), parts: ["device", "pattern"], remark: "The driver has no fault without an access: WRITE writes 0xd0 to every byte as well." }
          : { code: command("READ", a, second, c, mirror), parts: ["device"] };
      case "deviceAtomicAdd32":
        if (second === null) return null;
        return { code: command("EXCLUSIVE", a, this.places.at(b! - (b! % PAGE))!, 1, mirror), parts: ["device"], remark: "The driver has no atomic operation: EXCLUSIVE takes the page and reads it; nothing is added." };
      case "frameOf":
        return first === null ? null : { code: `${this.places.frameOf(a!)} = frame_of(${first})`, parts: ["migrate"] };
      case "migrate":
      case "offline": {
        const addr = a === null ? undefined : this.frames.get(a);
        const page = this.places.at(addr ?? null);
        return page === null ? null : { code: `migrate(${page}, ${this.places.frameOf(addr!)})`, parts: ["migrate"] };
      }
      case "getUserPage": {
        const remark = b === 1 ? { remark: "Holding it for reading is what everybody may do; the walk is the same as for writing." } : {};
        return first === null ? null : { code: `hold_page(${first})`, parts: ["hold"], ...remark };
      }
      case "putUserPage":
        return { code: "release_page()", parts: ["hold"] };
      default:
        return null;
    }
  }
}

function command(name: string, device: number | null, addr: string, pages: number | null, buffer: string): string {
  return `device_command(${device}, HMM_DMIRROR_${name}, ${addr}, ${pages}, ${buffer})`;
}

function adviceOf(advice: number): string {
  const name = Madv[advice];
  return name === undefined ? String(advice) : `MADV_${name}`;
}

function protOf(prot: number): string {
  const names = [Prot.READ, Prot.WRITE, Prot.EXEC].filter((bit) => (prot & bit) !== 0).map((bit) => `PROT_${Prot[bit]}`);
  return names.length === 0 ? "PROT_NONE" : names.join(" | ");
}
