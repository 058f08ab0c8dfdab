import type { MaySleep } from "@faultline/kernel";
import type { ThreadApi } from "./scenario.js";

/** Something that a scenario did through its `ThreadApi`. */
export interface Call {
  /** The method; `KERNEL` for the kernel itself, which has no arguments and no end. */
  readonly name: string;
  /** Numbers as they are, truth values as 0 and 1; null for whatever is no number. */
  readonly args: readonly (number | null)[];
  /** Null until it has returned, and for what is no number. */
  readonly result: number | null;
  /** Steps of the execution that came before it; 0 for all of setup. */
  readonly from: number;
  /** Steps that came before its end; null while it has none. */
  readonly to: number | null;
}

/** What a scenario called, in order. */
export interface Calls {
  readonly setup: readonly Call[];
  readonly threads: Readonly<Record<string, readonly Call[]>>;
  readonly check: readonly Call[];
}

/** The name of a call that reached into the kernel: `t.k`, or an object of the kernel's. */
export const KERNEL = "k";
const KERNEL_PROPERTIES: ReadonlySet<string | symbol> = new Set(["k", "mm", "devices"]);

type Recorded = { -readonly [P in keyof Call]: Call[P] };

/** Listens to a scenario: hands its parts a `ThreadApi` each that writes down what is asked of it. */
export class CallLog implements Calls {
  readonly setup: Call[] = [];
  readonly threads: Record<string, Call[]> = {};
  readonly check: Call[] = [];

  /** @param steps how many steps the execution has had */
  constructor(private readonly steps: () => number) {}

  hearSetup(api: ThreadApi): ThreadApi {
    return this.hear(api, this.setup);
  }

  hearThread(api: ThreadApi, name: string): ThreadApi {
    return this.hear(api, (this.threads[name] = []));
  }

  hearCheck(api: ThreadApi): ThreadApi {
    return this.hear(api, this.check);
  }

  private hear(api: ThreadApi, calls: Call[]): ThreadApi {
    return new Proxy(api, {
      get: (target, property) => {
        // Methods get the object itself, so that nothing is heard of what they do with the kernel.
        const value: unknown = Reflect.get(target, property, target);
        if (KERNEL_PROPERTIES.has(property)) this.reachesIn(calls);
        if (typeof value !== "function" || typeof property !== "string") return value;
        return (...args: unknown[]): unknown => {
          const call: Recorded = { name: property, args: args.map(numberOf), result: null, from: this.steps(), to: null };
          const result: unknown = Reflect.apply(value, target, args);
          if (isGenerator(result)) return this.during(call, calls, result);
          calls.push({ ...call, result: numberOf(result), to: this.steps() });
          return result;
        };
      },
    });
  }

  private *during(call: Recorded, calls: Call[], body: MaySleep<unknown>): MaySleep<unknown> {
    call.from = this.steps();
    calls.push(call);
    const result = yield* body;
    call.result = numberOf(result);
    call.to = this.steps();
    return result;
  }

  private reachesIn(calls: Call[]): void {
    if (calls.at(-1)?.name !== KERNEL) calls.push({ name: KERNEL, args: [], result: null, from: this.steps(), to: null });
  }
}

function numberOf(value: unknown): number | null {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" ? value : null;
}

function isGenerator(value: unknown): value is MaySleep<unknown> {
  return Object.prototype.toString.call(value) === "[object Generator]";
}
