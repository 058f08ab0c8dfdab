import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { parseInteger, TextFile, type PseudoDir } from "../pseudo.js";

/** A number of /proc/sys between its bounds: -EINVAL for others. */
export interface SysctlNumber {
  readonly min: number;
  readonly max: number;
  /** Without it the file can only be written. */
  readonly get?: (k: Kernel) => number;
  /** A negated errno refuses it. */
  readonly set: (k: Kernel, value: number) => MaySleep<number> | void;
}

/**
 * Adds the file of a number. What is written is taken as far as the first number goes with the space behind
 * it; nothing at all changes nothing.
 */
export function addSysctlNumber(dir: PseudoDir, name: string, { min, max, get, set }: SysctlNumber): void {
  dir.add(
    name,
    new TextFile(dir.fs, {
      mode: get === undefined ? 0o200 : 0o644,
      strict: true,
      *show(k) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        return get === undefined ? -Errno.EINVAL : `${get(k)}\n`;
      },
      *store(k, text) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        if (text === "") return 0;
        const taken = /^\s*[^\s\0]*\s*/.exec(text)![0];
        const value = parseInteger(taken);
        if (value === null || value < min || value > max) return -Errno.EINVAL;
        const changed = set(k, value);
        const error = changed === undefined ? 0 : yield* changed;
        return error < 0 ? error : taken.length;
      },
    }),
  );
}

/** Adds the file of an unsigned long, which may be more than a number can hold: -EINVAL for what is none. */
export function addSysctlLong(dir: PseudoDir, name: string, get: (k: Kernel) => bigint, set: (k: Kernel, value: bigint) => void): void {
  dir.add(
    name,
    new TextFile(dir.fs, {
      mode: 0o644,
      strict: true,
      *show(k) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        return `${get(k)}\n`;
      },
      *store(k, text) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        const taken = /^\s*(\d+)\s*/.exec(text);
        if (taken === null || BigInt(taken[1]!) >= 1n << 64n) return -Errno.EINVAL;
        set(k, BigInt(taken[1]!));
        return taken[0].length;
      },
    }),
  );
}
