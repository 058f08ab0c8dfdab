/**
 * Nanoseconds of machine time of each step, in four bytes each. `offsets` count from the part that a step
 * is in: part i begins at step `starts[i]`, at `bases[i]`.
 */
export interface StepTimes {
  readonly starts: Uint32Array;
  readonly bases: Float64Array;
  readonly offsets: Uint32Array;
}

/** The last index whose value is not above another; the values ascend. -1 for none. */
export function lastNotAbove(values: Uint32Array | Float64Array, value: number): number {
  let low = -1;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Machine time of a step; of the last for one behind. */
export function timeAt({ starts, bases, offsets }: StepTimes, step: number): number {
  const at = Math.min(Math.max(0, Math.floor(step)), offsets.length - 1);
  const part = lastNotAbove(starts, at);
  return part < 0 ? 0 : bases[part]! + offsets[at]!;
}

/** The last step that had happened at a time; the first where none had. */
export function stepAt({ starts, bases, offsets }: StepTimes, time: number): number {
  const part = lastNotAbove(bases, time);
  if (part < 0) return 0;
  let low = starts[part]!;
  let high = (starts[part + 1] ?? offsets.length) - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bases[part]! + offsets[middle]! <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Machine time of a moment between steps, as if it went on evenly from one to the next. */
export function timeOf(times: StepTimes, moment: number): number {
  const step = Math.floor(moment);
  const time = timeAt(times, step);
  return time + (moment - step) * Math.max(0, timeAt(times, step + 1) - time);
}

/** The moment between steps that has a machine time. */
export function momentAt(times: StepTimes, time: number): number {
  const step = stepAt(times, time);
  const [from, to] = [timeAt(times, step), timeAt(times, step + 1)];
  return to > from ? step + Math.min(1, Math.max(0, (time - from) / (to - from))) : step;
}
