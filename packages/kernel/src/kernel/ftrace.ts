import type { KernelModules } from "../kernel.js";
import type { Machine } from "../machine.js";
import { Event } from "../trace.js";

/*
 * Tracing of kernel functions, as ftrace's function graph: every function of the assembled kernel
 * tells when a task enters and leaves it, and each task has the stack of those it is in. What is
 * not called through `k` is part of its caller, as an inlined function is.
 *
 * A kernel that is assembled without it pays nothing.
 */

/** The functions of a machine's kernel that are traced, and who is in which. */
export class Ftrace {
  /** By function number: the name as the kernel spells it, e.g. "do_anonymous_page". */
  readonly names: string[] = [];
  /** True to emit `FuncEntry` and `FuncExit`; the stacks are kept either way. */
  emitting = false;
  /** The stack while no task runs: boot. */
  private readonly boot: number[] = [];

  constructor(private readonly m: Machine) {}

  /** Names of the functions that the current task is in, innermost first, as stack traces print them. */
  stack(): string[] {
    return this.currentStack()
      .map((id) => this.names[id]!)
      .reverse();
  }

  /** The current task's stack of function numbers, outermost first. */
  currentStack(): number[] {
    return this.m.current?.kstack ?? this.boot;
  }

  /** The modules with every function wrapped, to be called instead. */
  instrument(modules: KernelModules): KernelModules {
    const traced: Record<string, unknown> = {};
    for (const [module, members] of Object.entries(modules)) traced[module] = this.follow(members);
    return traced as unknown as KernelModules;
  }

  /** The same for the functions of one module. */
  follow(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const copies: Record<string, unknown> = {};
    for (const [name, member] of Object.entries(members)) {
      copies[name] = isFunction(member) ? this.wrap(this.names.push(snakeCase(name)) - 1, member) : member;
    }
    return copies;
  }

  private wrap(id: number, fn: AnyFunction): AnyFunction {
    const call = (...args: unknown[]): unknown => {
      const stack = this.currentStack();
      const depth = this.enter(stack, id);
      let result: unknown;
      try {
        result = fn(...args);
      } finally {
        this.leave(stack, depth);
      }
      return result;
    };
    if (!isGeneratorFunction(fn)) return call;
    const { enter, leave } = this;
    const trace = this;
    // Its body begins with the first next(), in the task that then runs it to its end, through all
    // sleeps. An exception, or a return() of who gives it up, passes the finally.
    return function* (...args: unknown[]): Generator<unknown, unknown, unknown> {
      const stack = trace.currentStack();
      const depth = enter.call(trace, stack, id);
      try {
        return yield* fn(...args) as Generator<unknown, unknown, unknown>;
      } finally {
        leave.call(trace, stack, depth);
      }
    };
  }

  /** The depth to go back to. */
  private enter(stack: number[], id: number): number {
    const depth = stack.length;
    stack.push(id);
    if (this.emitting) this.m.sink?.emit(Event.FuncEntry, id, 0, 0, 0);
    return depth;
  }

  /** Also out of functions further in, whose generators somebody dropped without a word. */
  private leave(stack: number[], depth: number): void {
    while (stack.length > depth) {
      const id = stack.pop()!;
      if (this.emitting) this.m.sink?.emit(Event.FuncExit, id, 0, 0, 0);
    }
  }
}

type AnyFunction = (...args: unknown[]) => unknown;

function isFunction(member: unknown): member is AnyFunction {
  return typeof member === "function" && !Function.prototype.toString.call(member).startsWith("class");
}

const GENERATOR = Object.getPrototypeOf(function* () {}) as object;

function isGeneratorFunction(fn: AnyFunction): boolean {
  return Object.getPrototypeOf(fn) === GENERATOR;
}

/** `doAnonymousPage` is do_anonymous_page in the kernel. */
export function snakeCase(name: string): string {
  return name.replaceAll(/([a-z\d])([A-Z])/g, "$1_$2").toLowerCase();
}
