import type { Executor, Machine } from "@faultline/kernel";
import { FAIR_POINTS } from "./execution.js";
import { SteeredExecution } from "./steered.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";

/** Where something is decided: at a point, after a turn has ended, or where a value is drawn. Good until the next one. */
export interface Moment {
  readonly kind: "point" | "pick" | "draw";
  /** The how-manieth question of the execution. */
  readonly question: number;
  /** Who runs, or ran last; -1 for nobody. */
  readonly executor: number;
  /** The how-manieth question of its kind for this executor. */
  readonly ordinal: number;
}

/** A decision that differs from the default, by what its executor has done rather than by what everybody has. */
export interface Move {
  readonly kind: Moment["kind"];
  readonly executor: number;
  readonly ordinal: number;
  /** The executor that goes on, or the value that is drawn. */
  readonly to: number;
}

/** Decides, whatever came before. */
export interface Director {
  /** Another execution begins. */
  begin(executors: readonly Executor[]): void;
  /** Who goes on, as an index; 0, the default, is who runs already where that is possible. */
  turn(at: Moment, alternatives: readonly Executor[]): number;
  /** A value in [0, n). */
  draw(at: Moment, n: number): number;
  /** An executor was made to give way to others. */
  gaveWay?(executor: Executor): void;
}

/** One execution after the other, each as a director has it. */
export class DirectedExecution extends SteeredExecution implements ExplorationStrategy {
  /** What was decided other than by default. */
  moves: Move[] = [];
  private decided: Decision[] = [];
  private readonly now: { -readonly [P in keyof Moment]: Moment[P] } = { kind: "point", question: 0, executor: -1, ordinal: 0 };
  /** How many questions of a kind each executor has had; index 0 is for nobody. */
  private ordinals: Record<Moment["kind"], number[]> = { point: [], pick: [], draw: [] };

  constructor(
    private readonly director: Director,
    pointsMax?: number,
  ) {
    super(pointsMax);
  }

  /** There is always another: the caller knows when it is enough. */
  next(): boolean {
    return true;
  }

  override begin(m: Machine): void {
    super.begin(m);
    const { executors } = m.sched;
    const none = (): number[] => new Array<number>(executors.length + 1).fill(0);
    this.ordinals = { point: none(), pick: none(), draw: none() };
    this.moves = [];
    this.decided = [];
    this.director.begin(executors);
  }

  decisions(): Decision[] {
    return this.decided;
  }

  preempt(): boolean {
    const self = this.m.executor!;
    const at = this.moment("point", self, this.countPoint());
    if (this.isOver) return this.giveUp();
    const alternatives = this.canGoOn(self);
    const chosen = alternatives.length === 1 ? self : this.choose(at, alternatives);
    if (chosen === self) {
      if (this.sinceSwitch <= FAIR_POINTS || !this.giveWay()) return false;
      this.director.gaveWay?.(self);
      return true;
    }
    this.preemptions++;
    this.sinceSwitch = 0;
    this.target = chosen;
    return true;
  }

  pick(eligible: readonly Executor[], previous: Executor | null): Executor {
    const target = this.takeTarget(eligible);
    if (target !== null) return target;
    if (this.stopping) return eligible[0]!;
    this.sinceSwitch = 0;
    if (previous !== null && this.retries(previous)) this.director.gaveWay?.(previous);
    const at = this.moment("pick", previous, this.question++);
    return this.pickStarved(eligible) ?? this.choose(at, this.inTurn(eligible, previous));
  }

  draw(_what: string, n: number): number {
    const at = this.moment("draw", this.m.executor, this.question++);
    if (this.isFixed(n)) return 0;
    const value = this.director.draw(at, n);
    this.note(at, value, value);
    return value;
  }

  private choose(at: Moment, alternatives: readonly Executor[]): Executor {
    const choice = this.director.turn(at, alternatives);
    const chosen = alternatives[choice]!;
    this.note(at, choice, chosen.id);
    return chosen;
  }

  private note({ kind, executor, ordinal, question }: Moment, choice: number, to: number): void {
    if (choice === 0) return;
    this.decided.push({ at: question, choice });
    this.moves.push({ kind, executor, ordinal, to });
  }

  private moment(kind: Moment["kind"], by: Executor | null, question: number): Moment {
    const { now } = this;
    now.kind = kind;
    now.question = question;
    now.executor = by === null ? -1 : by.id;
    now.ordinal = this.ordinals[kind][now.executor + 1]!++;
    return now;
  }
}

/** Repeats an execution, decision by decision. */
export class ReplayDirector implements Director {
  private readonly choices: ReadonlyMap<number, number>;
  /** Decisions that could be made where they stand. */
  private fitting = 0;

  constructor(decisions: readonly Decision[]) {
    this.choices = new Map(decisions.map(({ at, choice }) => [at, choice]));
  }

  /** Whether the execution came past all decisions, and had such alternatives there. */
  get fits(): boolean {
    return this.fitting === this.choices.size;
  }

  begin(): void {
    this.fitting = 0;
  }

  turn(at: Moment, { length }: readonly Executor[]): number {
    return this.draw(at, length);
  }

  draw({ question }: Moment, n: number): number {
    const choice = this.choices.get(question);
    if (choice === undefined || choice >= n) return 0;
    this.fitting++;
    return choice;
  }
}

/** Makes some moves, each where its executor has come as far; all else is by default. */
export class MoveDirector implements Director {
  private readonly moves: ReadonlyMap<string, number>;

  constructor(moves: readonly Move[]) {
    this.moves = new Map(moves.map((move) => [nameOf(move), move.to]));
  }

  begin(): void {}

  turn(at: Moment, alternatives: readonly Executor[]): number {
    const to = this.moves.get(nameOf(at));
    return to === undefined ? 0 : Math.max(0, alternatives.findIndex((e) => e.id === to));
  }

  draw(at: Moment, n: number): number {
    return Math.min(this.moves.get(nameOf(at)) ?? 0, n - 1);
  }
}

function nameOf({ kind, executor, ordinal }: Moment | Move): string {
  return `${kind} ${executor} ${ordinal}`;
}

/** Executions that minimising one takes at most. */
const SHRINK_MAX = 500;

/**
 * Leaves moves out as long as what they show stays: many at a time first, then one by one.
 * `shows` runs an execution, and gives the moves that it made if it shows the same, else null.
 */
export function shrinkMoves(moves: readonly Move[], shows: (moves: readonly Move[]) => readonly Move[] | null): readonly Move[] {
  let left = moves;
  let tries = 0;
  for (let size = Math.max(1, left.length >> 1); size >= 1; ) {
    let shorter = false;
    for (let end = left.length; end > 0 && tries < SHRINK_MAX; end -= size) {
      const rest = [...left.slice(0, Math.max(0, end - size)), ...left.slice(end)];
      tries++;
      const made = shows(rest);
      if (made === null) continue;
      left = made;
      shorter = true;
      end = Math.min(end, left.length + size);
    }
    // Once more over single moves after one of them could go: it may have held others in place.
    if (size === 1 && (!shorter || tries >= SHRINK_MAX)) break;
    size = Math.max(1, size >> 1);
  }
  return left;
}
