/** The first index whose value is at or behind another; the values ascend. */
export function firstAtOrBehind(values: Uint32Array, value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of ascending values are at most so large. */
export function countUpTo(values: Uint32Array, value: number): number {
  return firstAtOrBehind(values, Math.floor(value) + 1);
}
