import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { FollFlag } from "../mm/gup_flags.js";
import type { Patch } from "./patch.js";

/** The numbers until then, of those flags that have one now. */
const OLD: readonly (readonly [old: number, now: FollFlag])[] = [
  [0x1, FollFlag.WRITE],
  [0x2, FollFlag.TOUCH],
  [0x4, FollFlag.GET],
  [0x8, FollFlag.DUMP],
  [0x10, FollFlag.FORCE],
  [0x20, FollFlag.NOWAIT],
  [0x80, FollFlag.NOFAULT],
  [0x100, FollFlag.HWPOISON],
  [0x800, FollFlag.TRIED],
  [0x2000, FollFlag.REMOTE],
  [0x8000, FollFlag.ANON],
  [0x10000, FollFlag.LONGTERM],
  [0x20000, FollFlag.SPLIT_PMD],
  [0x40000, FollFlag.PIN],
  [0x80000, FollFlag.FAST_ONLY],
];

/** Before it, a program that uses the test interface of GUP has other numbers. */
function undo(_base: KernelModules): Overlay {
  return {
    gupTest: {
      gupTestFlags(_k: Kernel, flags: number): number {
        let now = 0;
        for (const [old, flag] of OLD) if ((flags & old) !== 0) now |= flag;
        return now;
      },
    },
  };
}

export const GUP_FLAGS_2023: Patch = {
  name: "gup-flags",
  title: "mm/gup: move private gup FOLL_ flags to internal.h",
  series: "Simplify the external interface for GUP",
  since: "6.3",
  status: "modelled",
  undo,
};
