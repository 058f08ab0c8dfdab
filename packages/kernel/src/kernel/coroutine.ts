/**
 * Kernel code that touches shared state is a generator. What it may yield is in its type:
 *
 *  - `Atomic<T>` yields `SWITCH` only: another CPU or device runs for a while. It never gives up
 *    its own CPU, so it may run inside a spinlock section.
 *  - `MaySleep<T>` may also yield `BLOCK`: this task gives up its CPU.
 *
 * `yield*` of a `MaySleep` inside an `Atomic` does not compile. A point asks the schedule first
 * and yields only when somebody else is to run: `if (m.point(op, object)) yield SWITCH;`.
 */
export const SWITCH = 0;
export const BLOCK = 1;
export type Switch = typeof SWITCH;
export type Block = typeof BLOCK;

export type Atomic<T> = Generator<Switch, T, void>;
export type MaySleep<T> = Generator<Switch | Block, T, void>;
