import { computed, effect, untracked, type Signal } from "@preact/signals";
import { countUpTo } from "./ascending.js";
import { Correspondence } from "./correspondence.js";
import { differences, type Difference } from "./differences.js";
import type { Viewer } from "./viewer.js";

/** Traces of up to so many events are aligned event by event; longer ones by what a user could observe. */
const INNER_MAX = 300_000;

/** Two runs that are held at corresponding steps: where one goes, the other follows. */
export class Comparison {
  /** How the machines differ; null while one of them is on its way to its step. */
  readonly differences = computed((): readonly Difference[] | null => {
    const [left, right] = [this.left.moment.value, this.right.moment.value];
    if (left === null || right === null || left.step !== this.left.step.value || right.step !== this.right.step.value) return null;
    return differences(left, right);
  });
  private readonly ends: readonly (() => void)[];

  constructor(
    readonly left: Viewer,
    readonly right: Viewer,
    private readonly steps: Correspondence,
  ) {
    left.peer.value = { viewer: right, only: steps.ownOnly };
    right.peer.value = { viewer: left, only: steps.otherOnly };
    this.ends = [
      linked(left.step, right.step, (step, toRight) => {
        const [leader, follower] = toRight ? [left, right] : [right, left];
        // Whatever happened: both are over.
        follower.goTo(step === leader.last.value ? follower.last.value : toRight ? steps.toOther(step) : steps.toOwn(step));
      }),
      linked(left.range, right.range, ({ from, to }, toRight) => {
        const [leader, follower] = toRight ? [left, right] : [right, left];
        if (from <= 0 && to > leader.last.value) follower.show(0, Infinity);
        else follower.show(follower.step.value - (leader.step.value - from), to - from);
      }),
      linked(left.selection, right.selection, (selection, toRight) => (toRight ? right : left).select(selection)),
      linked(left.mm, right.mm, (mm, toRight) => {
        if (mm !== null) (toRight ? right : left).showSpace(mm);
      }),
    ];
  }

  /** To the nearest event of one run that the other one does not have. */
  nextOnly(viewer: Viewer, forward: boolean): void {
    const only = viewer === this.left ? this.steps.ownOnly : this.steps.otherOnly;
    const at = forward ? countUpTo(only, viewer.step.value) : countUpTo(only, viewer.step.value - 1) - 1;
    const step = only[at];
    if (step === undefined) viewer.error.value = `no ${forward ? "later" : "earlier"} event is in this run alone`;
    else viewer.goTo(step);
  }

  end(): void {
    for (const end of this.ends) end();
    this.left.peer.value = null;
    this.right.peer.value = null;
  }
}

/** Aligns two traces that are open. Rejects with a line where one of them cannot be read. */
export async function aligned(left: Viewer, right: Viewer): Promise<Correspondence> {
  const inner = [left, right].every(({ info }) => (info.value?.events ?? 0) <= INNER_MAX);
  const other = await right.ask("anchors", { inner });
  return new Correspondence(await left.ask("align", { inner, other }));
}

/**
 * Carries what changes on one side over to the other, beginning with the left as it is. What has come
 * from the other side does not go back.
 */
function linked<T>(left: Signal<T>, right: Signal<T>, carry: (value: T, toRight: boolean) => void): () => void {
  let carried: { readonly to: Signal<T>; readonly value: T } | null = null;
  const watch = (from: Signal<T>, to: Signal<T>, begins: boolean): (() => void) => {
    let begun = begins;
    return effect(() => {
      const { value } = from;
      untracked(() => {
        if (carried?.to === from && carried.value === value) carried = null;
        else if (begun) {
          const before = to.value;
          carry(value, to === right);
          carried = to.value === before ? null : { to, value: to.value };
        }
        begun = true;
      });
    });
  };
  const ends = [watch(left, right, true), watch(right, left, false)];
  return () => {
    for (const end of ends) end();
  };
}
