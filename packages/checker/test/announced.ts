import { Event, Op, type EventSink, type Machine, type Task } from "@faultline/kernel";

/** What a task has announced for the step that it is in: operations and their objects in turn. */
type Step = number[];

const PTE_WRITES = [Op.PteWrite, Op.PteHardware];
const PTE_READS = [Op.PteRead, ...PTE_WRITES];
const REFERENCES = [Op.RefGet, Op.RefPut, Op.RefCompare];

/**
 * Compares what functions do with what their points said: each access to a page-table entry, a
 * frame, a count or a lock must be announced, with its object, by the step that makes it.
 */
export class Announced implements EventSink {
  /** An invariant looks, not the kernel. */
  private looking = false;
  private readonly steps = new Map<Task | null, Step>();

  constructor(
    private readonly m: Machine,
    private readonly next: EventSink,
    private readonly report: (finding: string) => void,
  ) {
    const { pt, memmap, swap } = m;
    // Whether there is an entry at all is known under its lock: no table walk changes that.
    for (const read of ["flags", "pfn", "same"] as const) {
      const original = pt[read] as (ptep: number, ...rest: number[]) => never;
      pt[read] = (ptep: number, ...rest: number[]): never => {
        this.expect(PTE_READS, ptep, "an entry is read");
        return original.call(pt, ptep, ...rest);
      };
    }
    this.watch(swap, "count", (offset) => this.expect([Op.SwapMap], offset, "a swap slot's entries are counted"));
    this.watch(swap, "cache", (offset) => this.expect([Op.SwapCache], offset, "the swap cache changes"));
    const { set, clear } = pt;
    pt.set = (ptep, flags, pfn) => {
      // What is written to an entry above the last level goes by the range that it maps.
      if (!this.announced([Op.TableWrite], null)) this.expect(PTE_WRITES, ptep, "the entry is written");
      set.call(pt, ptep, flags, pfn);
    };
    pt.clear = (ptep) => {
      if (!this.announced([Op.TableWrite], null)) this.expect(PTE_WRITES, ptep, "the entry is cleared");
      clear.call(pt, ptep);
    };
    memmap.flagsWritten = (folio) => m.touches(Op.PageFlags, folio);
    this.watch(memmap, "refcount", (page) => this.expect([...REFERENCES, Op.Pcp], page, "a reference is counted"));
    this.watch(memmap, "mapcount", (page) => this.expect([Op.MapCount], memmap.folioOf(page), "a mapping is counted"));
  }

  /** What the task does from here on is another step. */
  point(executor: number, op: number, object: number): void {
    this.steps.set(this.m.current, [op, object]);
    this.looking = true;
    this.next.point(executor, op, object);
    this.looking = false;
  }

  touches(_executor: number, op: number, object: number): void {
    this.steps.get(this.m.current)?.push(op, object);
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number): void {
    if (event === Event.UserAccess) {
      this.expect([Op.UserRead, Op.UserWrite], c, "a frame is reached");
      this.expect([Op.TlbRead], a, "a translation is used");
    } else if (event === Event.DeviceAccess) {
      this.expect(d === 0 ? [Op.DeviceRead] : [Op.DeviceWrite], c, "a frame is reached");
    } else if (event === Event.FolioLock) {
      this.expect(b === 0 ? [Op.FolioLock] : [Op.FolioUnlock], a, "a folio lock is taken or released");
    }
    this.looking = true;
    this.next.emit(event, a, b, c, d, e, f);
    this.looking = false;
  }

  private expect(ops: readonly Op[], object: number, what: string): void {
    if (this.looking || this.m.sink !== this || this.announced(ops, object)) return;
    const step = this.steps.get(this.m.current) ?? [];
    const said: string[] = [];
    for (let i = 0; i < step.length; i += 2) said.push(`${Op[step[i]!]} ${step[i + 1]}`);
    const where = new Error().stack!.split("\n").filter((line) => /packages.kernel.src/.test(line)).slice(0, 3).map((line) => line.trim());
    this.report(`${what} (${ops.map((op) => Op[op]).join(", ")} ${object}), and announced is ${said.join(", ")} ${where.join(" < ")}`);
  }

  private announced(ops: readonly Op[], object: number | null): boolean {
    const step = this.steps.get(this.m.current);
    // Nothing has been passed yet: setup, and the part of a thread before its first point.
    if (step === undefined) return true;
    for (let i = 0; i < step.length; i += 2) {
      if (ops.includes(step[i]!) && (object === null || step[i + 1] === object)) return true;
    }
    return false;
  }

  /** Puts itself before the writes to an array. */
  private watch<K extends string>(owner: Readonly<Record<K, Int32Array | Uint8Array>>, name: K, written: (index: number) => void): void {
    const array = owner[name];
    const proxy = new Proxy(array, {
      get(target, key): unknown {
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
      set(target, key, value: number): boolean {
        written(Number(key));
        target[Number(key)] = value;
        return true;
      },
    });
    Object.assign(owner, { [name]: proxy });
  }
}
