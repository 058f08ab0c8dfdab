import type { Executor, Machine } from "@faultline/kernel";
import type { Abandoned } from "./strategy.js";

/** Points after which an execution is called a livelock. */
const POINTS_MAX = 20_000;
/**
 * Points after which an executor that others wait for is made to give way: loops that declare
 * nothing need it. More than reclaim takes until it says that there is nothing to reclaim.
 */
export const FAIR_POINTS = 8_000;
/** Data choices with more values than this are not enumerated: address-space layout, mostly. */
const DATA_CHOICES_MAX = 4;
export const UNDRAWN = "something that is not drawn from the machine's choices decides";

/**
 * What every exploration has that runs an execution again from the start, with the decisions of
 * the one before up to the last that changes: where it is, what it has counted, and why it gave up.
 */
export abstract class ControlledExecution {
  points = 0;
  preemptions = 0;
  /** Times that an executor was made to give way. */
  forced = 0;
  abandoned: Abandoned | null = null;

  protected m!: Machine;
  /** How many decisions are being repeated from the execution before. */
  protected prefix = 0;
  /** The next one to repeat. */
  protected cursor = 0;
  protected question = 0;
  protected started = false;
  protected stopping = false;
  /** Who runs after a preemption. */
  protected target: Executor | null = null;
  protected sinceSwitch = 0;
  /** By executor: the points that there had been when it last passed one. */
  private readonly lastRan: number[] = [];

  /** @param pointsMax points after which an execution is called a livelock */
  constructor(private readonly pointsMax = POINTS_MAX) {}

  begin(m: Machine): void {
    this.m = m;
    this.points = this.preemptions = this.cursor = this.question = this.sinceSwitch = this.forced = 0;
    this.abandoned = null;
    this.stopping = false;
    this.target = null;
    this.lastRan.length = m.sched.executors.length;
    this.lastRan.fill(0);
  }

  end(): void {
    if (this.cursor < this.prefix && !this.stopping) {
      this.refuse(`decision ${this.cursor} of ${this.prefix} was not asked for when repeated: ${UNDRAWN}`);
    }
  }

  stop(): void {
    this.stopping = true;
  }

  /** Counts a point, and its question. */
  protected countPoint(): number {
    this.points++;
    this.sinceSwitch++;
    this.lastRan[this.m.executor!.id] = this.points;
    return this.question++;
  }

  /** Nothing is decided any more. */
  protected get isOver(): boolean {
    return this.stopping || this.points > this.pointsMax;
  }

  /** Whoever was to run next after a preemption; null when that is to be decided. */
  protected takeTarget(eligible: readonly Executor[]): Executor | null {
    const { target } = this;
    this.target = null;
    if (target === null || eligible.includes(target)) return target;
    this.refuse("the executor that was to run next cannot run");
    return null;
  }

  /** Who could have run for so long that it is his turn now, as others go on with each other; null for nobody. No decision. */
  protected pickStarved(eligible: readonly Executor[]): Executor | null {
    for (const e of eligible) {
      if (this.points - this.lastRan[e.id]! <= FAIR_POINTS) continue;
      this.forced++;
      return e;
    }
    return null;
  }

  /** Whether an executor waits for others, to retry what it has failed in. */
  protected retries(executor: Executor): boolean {
    return this.m.retries.siteOf(executor) !== null;
  }

  /**
   * Those that can run, who is to run first: where the one before has to wait for others before he retries, the next
   * in turn, as two that only retry would else go on with each other for ever.
   */
  protected inTurn(eligible: readonly Executor[], previous: Executor | null): readonly Executor[] {
    if (previous === null || !this.retries(previous)) return eligible;
    const next = eligible.findIndex((e) => e.id > previous.id);
    return next <= 0 ? eligible : [...eligible.slice(next), ...eligible.slice(0, next)];
  }

  /** A data choice with too many values, or with one, has its default. */
  protected isFixed(n: number): boolean {
    return n > DATA_CHOICES_MAX || n < 2 || this.stopping;
  }

  protected refuse(message: string): void {
    this.abandoned ??= { reason: "nondeterminism", message };
    this.stop();
  }

  /** At a point: the execution has gone on for too long, or is to stop. */
  protected giveUp(): boolean {
    if (!this.stopping) {
      this.abandoned = {
        reason: "livelock",
        message: `no end after ${this.pointsMax} points, though everybody gets a turn`,
      };
    }
    this.stopping = true;
    this.m.sched.halt();
    return true;
  }

  protected canRun(e: Executor): boolean {
    return this.m.sched.canRun(e);
  }
}
