import type { Operation } from "./operations.js";

/** Rounds of candidates at most: each takes a run on both sides. */
const ROUNDS_MAX = 200;

/**
 * A list as short as can be found that still differs. `differs` is asked of many lists at once, and
 * gives the first that does, or -1.
 */
export function shrink(first: readonly Operation[], differs: (lists: readonly (readonly Operation[])[]) => number): readonly Operation[] {
  let best = first;
  let rounds = 0;
  const better = (candidates: (readonly Operation[])[]): boolean => {
    if (candidates.length === 0 || rounds++ >= ROUNDS_MAX) return false;
    const found = differs(candidates);
    if (found >= 0) best = candidates[found]!;
    return found >= 0;
  };
  // By halves, by quarters, …, one by one; from the start again after each that was good for something.
  for (let size = Math.max(1, best.length >> 1); ; ) {
    const chunks: (readonly Operation[])[] = [];
    for (let at = best.length - size; at > -size; at -= size) chunks.push([...best.slice(0, Math.max(at, 0)), ...best.slice(at + size)]);
    if (better(chunks.filter((list) => list.length > 0 && list.length < best.length))) size = Math.min(size, Math.max(1, best.length >> 1));
    else if (size === 1) break;
    else size >>= 1;
  }
  while (better(simpler(best)));
  return best;
}

/** The same operations with less in them. */
function simpler(list: readonly Operation[]): (readonly Operation[])[] {
  const candidates: (readonly Operation[])[] = [];
  list.forEach((op, i) => {
    const change = (args: Record<string, number>): void => void candidates.push(list.with(i, { ...op, args: { ...op.args, ...args } }));
    const { pages = 0, within = 0, longer = 0, offset = 0, value = 1 } = op.args;
    if (op.process > 0) candidates.push(list.with(i, { ...op, process: 0 }));
    if (within !== 0) change({ within: 0 });
    if (longer !== 0) change({ longer: 0 });
    if (offset !== 0) change({ offset: 0 });
    if (value > 1) change({ value: 1 });
    if (pages > 1) {
      change({ pages: 1 });
      change({ pages: pages >> 1 });
      change({ pages: pages - 1 });
    }
  });
  return candidates;
}
