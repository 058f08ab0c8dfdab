import { HashSet } from "./hash64.js";
import { CONFLICTS, kindOf, objectOf, type Kind, type StepAccess } from "./local_states.js";
import type { PlannedDecision, Shown, StateNode, TakenStep } from "./planned.js";

/** An execution to be run: as its parent, but with another decision at one question. All that comes after is by default. */
export interface Plan extends PlannedDecision {
  readonly parent: Plan | null;
  readonly preemptions: number;
}

/** Alternatives that make no difference as long as nobody else touches what the step that was taken touches. */
interface Deferred {
  readonly plan: Plan;
  readonly node: StateNode;
  readonly executor: number;
  done: boolean;
}

/** Who touches an object, in any execution so far: bits of executors; and what depends on that staying so. */
interface Touched {
  /** By kind of access. */
  readonly by: [number, number, number, number];
  readonly deferred: { readonly one: Deferred; readonly kind: Kind }[];
}

export interface SavedSpace {
  readonly visited: Int32Array;
  readonly touched: Map<number, Touched>;
  readonly plans: Plan[][];
}

/**
 * Every execution that can differ from the others. From each state in which the next step could
 * conflict with what somebody else does, now or later, everybody who can run goes on once; states
 * that were met before, by whatever order of steps, are not followed again. Where a step touches
 * nothing that anybody else ever touches, it goes first: any other order comes to the same (a
 * persistent set of one, in the terms of partial-order reduction; Godefroid 1996). Whether anybody
 * does is learnt on the way: what was put off in good faith is made up for as soon as somebody has.
 *
 * Executions with fewer preemptions come first, so that what is found is as short as can be.
 */
export class StateSpace {
  /** States that were met, and from which everybody's going on is planned or done. */
  readonly visited: HashSet;
  private readonly touched: Map<number, Touched>;
  /** Plans by their number of preemptions. */
  private readonly plans: Plan[][];

  /** @param bound preemptions in one execution at most; @param saved what `save` returned, to go on from there */
  constructor(
    private readonly bound: number,
    saved?: SavedSpace,
  ) {
    this.visited = new HashSet(saved?.visited);
    this.touched = saved?.touched ?? new Map<number, Touched>();
    this.plans = saved?.plans ?? [[{ parent: null, at: -1, to: 0, preemptions: 0 }]];
  }

  /** The fewest preemptions that an execution to come has; -1 when there is none. */
  get preemptions(): number {
    return this.plans.findIndex((list) => list.length > 0);
  }

  /** Executions that are planned as yet. */
  get planned(): number {
    return this.plans.reduce((n, list) => n + list.length, 0);
  }

  /** The next plans, at most so many: all of them with as few preemptions as any. */
  take(max: number): Plan[] {
    return this.plans.find((list) => list.length > 0)?.splice(0, max) ?? [];
  }

  /** Plans that were taken, and not run. */
  putBack(plans: readonly Plan[]): void {
    for (const plan of plans) this.add(plan);
  }

  /** The decisions of a plan, in order. */
  decisionsOf(plan: Plan): PlannedDecision[] {
    const path: PlannedDecision[] = [];
    for (let at: Plan = plan; at.parent !== null; at = at.parent) path.push({ at: at.at, to: at.to });
    return path.reverse();
  }

  /** What the execution of a plan has shown: states that are new, and who touches what. */
  learn(plan: Plan, { nodes, steps }: Shown): void {
    for (const { executor, accesses } of steps) for (const access of accesses) this.touch(executor, access);
    for (const node of nodes) {
      if (node.step < 0) {
        this.branch(plan, node);
        continue;
      }
      // Another execution of the round was here before, and what follows is in its account.
      if (!this.visited.add(node.lo, node.hi)) break;
      const step = steps[node.step];
      if (step === undefined || node.drawn || this.bound !== Infinity || this.conflicts(step)) this.branch(plan, node);
      else this.defer(plan, node, step);
    }
  }

  /** All of it as plain data. */
  save(): SavedSpace {
    return { visited: this.visited.save(), touched: this.touched, plans: this.plans };
  }

  private add(plan: Plan): void {
    if (plan.preemptions > this.bound) return;
    while (this.plans.length <= plan.preemptions) this.plans.push([]);
    this.plans[plan.preemptions]!.push(plan);
  }

  private branch(plan: Plan, { at, others, cost }: StateNode): void {
    for (const to of others) this.add({ parent: plan, at, to, preemptions: plan.preemptions + cost });
  }

  private defer(plan: Plan, node: StateNode, { executor, accesses }: TakenStep): void {
    const deferred: Deferred = { plan, node, executor, done: false };
    for (const access of accesses) this.touched.get(objectOf(access))!.deferred.push({ one: deferred, kind: kindOf(access) });
  }

  private conflicts({ executor, accesses }: TakenStep): boolean {
    return accesses.some((access) => {
      const { by } = this.touched.get(objectOf(access))!;
      const conflicting = CONFLICTS[kindOf(access)]!;
      let others = 0;
      for (let k = 0; k < by.length; k++) if ((conflicting & (1 << k)) !== 0) others |= by[k]!;
      return (others & ~(1 << executor)) !== 0;
    });
  }

  private touch(executor: number, access: StepAccess): void {
    const object = objectOf(access);
    const kind = kindOf(access);
    let touched = this.touched.get(object);
    if (touched === undefined) this.touched.set(object, (touched = { by: [0, 0, 0, 0], deferred: [] }));
    const bit = 1 << executor;
    if ((touched.by[kind] & bit) !== 0) return;
    touched.by[kind] |= bit;
    // Others had relied on nobody else's coming here.
    const { deferred } = touched;
    let kept = 0;
    for (const entry of deferred) {
      const { one } = entry;
      if (one.done) continue;
      if (one.executor === executor || (CONFLICTS[kind]! & (1 << entry.kind)) === 0) {
        deferred[kept++] = entry;
        continue;
      }
      one.done = true;
      this.branch(one.plan, one.node);
    }
    deferred.length = kept;
  }
}
