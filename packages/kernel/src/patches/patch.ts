import type { KernelModules, Overlay } from "../kernel.js";

/**
 * How much of an upstream patch the engine has: `modelled` ones can be undone; `no-effect` ones changed what could not be told
 * from what was before, on any kernel.
 */
export type PatchStatus = "modelled" | "no-effect";

/** One upstream change, by the subject it was merged under. */
export interface Patch {
  /** What `--without` takes. */
  readonly name: string;
  readonly title: string;
  readonly series: string;
  /** First kernel release that has it. */
  readonly since: string;
  readonly status: PatchStatus;
  /** For those that are not modelled: why, in a few words. */
  readonly note?: string;
  /** Patches that build on this one: undoing this without them makes no kernel that ever was. */
  readonly neededBy?: readonly string[];
  /** What takes it away again, on top of a kernel that has it. */
  readonly undo?: (base: KernelModules) => Overlay;
}

/** What a file given with `--patch` exports by default. */
export interface UserPatch {
  readonly name: string;
  readonly title?: string;
  readonly apply: (base: KernelModules) => Overlay;
}
