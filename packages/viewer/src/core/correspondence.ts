import { countUpTo } from "./ascending.js";
import type { Pairs } from "./protocol.js";

/** Which step of one run is which of another, of the same program or scenario. */
export class Correspondence {
  /** Steps of one that the other does not have, ascending. */
  readonly ownOnly: Uint32Array;
  readonly otherOnly: Uint32Array;
  private readonly own: Side;
  private readonly other: Side;

  /** @param pairs ascending by `own` */
  constructor(pairs: Pairs) {
    this.ownOnly = pairs.ownOnly;
    this.otherOnly = pairs.otherOnly;
    const order = Uint32Array.from(pairs.other.keys()).sort((a, b) => pairs.other[a]! - pairs.other[b]!);
    const byOther = { from: pairs.other.slice().sort(), to: order.map((i) => pairs.own[i]!) };
    this.own = { from: pairs.own, to: pairs.other, sorted: byOther.from };
    this.other = { ...byOther, sorted: pairs.own };
  }

  toOther(step: number): number {
    return mapped(this.own, step);
  }

  toOwn(step: number): number {
    return mapped(this.other, step);
  }
}

interface Side {
  /** Ascending. */
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  /** `to`, ascending. */
  readonly sorted: Uint32Array;
}

/** The partner of the last step that has one, and as far behind that as there is room ahead of the next. */
function mapped({ from, to, sorted }: Side, step: number): number {
  const at = countUpTo(from, step) - 1;
  if (at < 0) return from.length === 0 ? step : 0;
  const target = to[at]!;
  const next = sorted[countUpTo(sorted, target)] ?? target + 1;
  return target + Math.min(step - from[at]!, Math.max(0, next - target - 1));
}
