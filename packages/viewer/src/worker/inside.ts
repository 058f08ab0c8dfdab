import type { Names, Trace } from "@faultline/trace";
import type { Look } from "./search.js";
import type { Entries } from "./entries.js";
import type { State, States } from "./state.js";

/** What modules that answer further questions about an open trace work with. */
export interface Inside {
  readonly trace: Trace;
  readonly events: number;
  readonly names: Names;
  readonly entries: Entries;
  readonly states: States;
  /** @throws Refusal where the trace has none */
  stateAt(step: number): State;
  /** Gives the events [from, to) to `look`. */
  read(from: number, to: number, look: (...event: Parameters<Look>) => unknown): void;
  /** The nearest event that matches, ahead of or behind `from`; ends where another search begins. */
  nearest(from: number, forward: boolean, matches: Look): Promise<number | null>;
}
