import { conflicts, SPACE_OF, type Op } from "@faultline/kernel";

/** One access of a step: what is done, and to which object. */
export interface Access {
  readonly op: Op;
  readonly object: number;
}

/** What one executor did between two moments at which another could have gone on instead. */
export interface ExecutedStep {
  readonly executor: number;
  readonly accesses: readonly Access[];
  /** The step that made the executor able to run, where it was not before; -1 else. */
  readonly enabledBy: number;
}

/** Two steps whose order nothing between them decides: the other order is another execution. */
export interface Race {
  readonly first: number;
  /** Executors with which an execution that has `second` before `first` can go on in place of `first`. */
  readonly initials: number;
}

/** Whether two steps have accesses whose order can matter. */
export function dependent(a: readonly Access[], b: readonly Access[]): boolean {
  for (const x of a) for (const y of b) if (conflicts(x.op, x.object, y.op, y.object)) return true;
  return false;
}

/** Objects of different spaces are different ones, whatever their numbers. */
function key(access: Access): number {
  return access.object * 64 + SPACE_OF[access.op]!;
}

function isRead({ op, object }: Access): boolean {
  return !conflicts(op, object, op, object);
}

/** The last steps that touched an object: the last that wrote to it, and those that have read it since, by executor. */
interface Touched {
  write: number;
  writeOp: Op;
  readonly reads: Int32Array;
}

/**
 * Which steps of one execution happen before which others: those of the same executor, those with
 * conflicting accesses, and those that woke or let in who did the later one. Vector clocks, and
 * the races of each step with those before it.
 */
export class HappensBefore {
  /** Clock c of step i: how many steps of executor c happen before the end of i, at [i * executors + c]. */
  private clocks: Int32Array;
  /** How many steps its executor had done, this one included. */
  private readonly ordinal: number[] = [];
  private readonly lastOf: Int32Array;
  private readonly objects = new Map<number, Touched>();

  constructor(private readonly executors: number) {
    this.clocks = new Int32Array(256 * executors);
    this.lastOf = new Int32Array(executors).fill(-1);
  }

  /** Whether `a` happens before `b`, or is it. */
  before(a: number, executorOfA: number, b: number): boolean {
    return this.clocks[b * this.executors + executorOfA]! >= this.ordinal[a]!;
  }

  /** Goes through an execution; the races of steps from `from` on are reported. */
  analyse(steps: readonly ExecutedStep[], from: number, found: (race: Race) => void): void {
    const { executors } = this;
    this.ordinal.length = 0;
    this.objects.clear();
    this.lastOf.fill(-1);
    if (steps.length * executors > this.clocks.length) this.clocks = new Int32Array(2 * steps.length * executors);
    else this.clocks.fill(0, 0, steps.length * executors);
    const candidates: number[] = [];
    for (const [i, step] of steps.entries()) {
      const own = this.lastOf[step.executor]!;
      if (own >= 0) this.join(i, own);
      this.ordinal[i] = own < 0 ? 1 : this.ordinal[own]! + 1;
      this.clocks[i * executors + step.executor] = this.ordinal[i]!;
      if (step.enabledBy >= 0) this.join(i, step.enabledBy);
      candidates.length = 0;
      for (const access of step.accesses) this.conflicting(access, step.executor, candidates);
      // Latest first: what happens before a later candidate is no race of its own.
      candidates.sort((a, b) => b - a);
      for (const candidate of candidates) {
        const other = steps[candidate]!.executor;
        if (this.before(candidate, other, i)) continue;
        if (i >= from) found({ first: candidate, initials: this.initials(steps, candidate, i) });
        this.join(i, candidate);
      }
      for (const access of step.accesses) this.touch(access, step.executor, i);
      this.lastOf[step.executor] = i;
    }
  }

  private join(i: number, earlier: number): void {
    const { clocks, executors } = this;
    for (let c = 0; c < executors; c++) {
      const value = clocks[earlier * executors + c]!;
      if (value > clocks[i * executors + c]!) clocks[i * executors + c] = value;
    }
  }

  /** The last steps of other executors with which an access conflicts. */
  private conflicting(access: Access, executor: number, into: number[]): void {
    const touched = this.objects.get(key(access));
    if (touched === undefined) return;
    const { reads, write, writeOp } = touched;
    if (write >= 0 && conflicts(writeOp, access.object, access.op, access.object)) into.push(write);
    if (isRead(access)) return;
    for (let c = 0; c < reads.length; c++) if (c !== executor && reads[c]! >= 0) into.push(reads[c]!);
  }

  private touch(access: Access, executor: number, i: number): void {
    const k = key(access);
    let touched = this.objects.get(k);
    if (touched === undefined) {
      touched = { write: -1, writeOp: access.op, reads: new Int32Array(this.executors).fill(-1) };
      this.objects.set(k, touched);
    }
    if (isRead(access)) {
      touched.reads[executor] = i;
      return;
    }
    touched.write = i;
    touched.writeOp = access.op;
    touched.reads.fill(-1);
  }

  /**
   * The executors with which one can begin, where step `first` was, the steps between that do not
   * depend on it, followed by `second`'s executor.
   */
  private initials(steps: readonly ExecutedStep[], first: number, second: number): number {
    const { executors } = this;
    const begun = new Map<number, number>();
    let initials = 0;
    const consider = (k: number): void => {
      const { executor } = steps[k]!;
      if (begun.has(executor)) return;
      let free = true;
      for (const [other, ordinal] of begun) {
        if (this.clocks[k * executors + other]! >= ordinal) free = false;
      }
      begun.set(executor, this.ordinal[k]!);
      if (free) initials |= 1 << executor;
    };
    for (let k = first + 1; k < second; k++) if (!this.before(first, steps[first]!.executor, k)) consider(k);
    consider(second);
    return initials;
  }
}
