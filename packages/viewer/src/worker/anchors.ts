import { Event } from "@faultline/kernel";
import { EVENTS, NameKind, Names, type ArgKind, type TraceConsumer } from "@faultline/trace";
import type { Anchors } from "../core/protocol.js";
import { Numbers } from "./numbers.js";

/** What a user could observe. All else is how the kernel does it. */
const OUTER: ReadonlySet<Event> = new Set([Event.SysEnter, Event.SysExit, Event.PageFaultUser, Event.SignalDeliver, Event.SchedProcessExit, Event.DeviceAccess]);

/** Arguments whose numbers have names, which are the same in another trace when the numbers are not. */
const NAMED: Readonly<Partial<Record<ArgKind, NameKind>>> = { function: NameKind.Function, lockClass: NameKind.LockClass, device: NameKind.Device };
/** Arguments that a repetition of the run has, too: places in address spaces, and what programs have asked for. */
const LASTING: ReadonlySet<ArgKind> = new Set<ArgKind>(["vpn", "syscall", "raw"]);

class Task {
  readonly steps = new Numbers();
  readonly keys = new Numbers();
  readonly coarse = new Numbers();
  readonly outer = new Numbers();

  constructor(readonly name: string) {}
}

/** Collects what another trace is held beside this one by. */
export class AnchorBuilder implements TraceConsumer {
  private readonly names = new Names();
  private readonly tasks = new Map<number, Task>();
  private readonly known = new Map<string, number>();
  private readonly words = new Map<string, number>();
  private step = 0;

  constructor(private readonly inner: boolean) {}

  name(kind: NameKind, id: number, text: string): void {
    this.names.set(kind, id, text);
  }

  event(_time: number, _executor: number, task: number, event: Event, ...args: readonly number[]): void {
    const step = this.step++;
    const outer = OUTER.has(event);
    if (task === 0 || (!outer && !this.inner)) return;
    let coarse = mix(0x811c9dc5, event);
    let key = coarse;
    for (const [i, [, kind]] of EVENTS[event]!.args.entries()) {
      const value = args[i]!;
      const named = NAMED[kind];
      if (named !== undefined) key = coarse = mix(coarse, this.word(this.names.get(named, value) ?? ""));
      else if (kind === "syscall") key = coarse = mix(coarse, value);
      // What a call returns is what may differ; the place that it came from is the same.
      else if (LASTING.has(kind) && event !== Event.SysExit) key = mix(mix(key, value >>> 0), Math.floor(value / 2 ** 32));
    }
    const to = this.task(task);
    to.steps.push(step);
    to.keys.push(key >>> 0);
    to.coarse.push(coarse >>> 0);
    to.outer.push(outer ? 1 : 0);
  }

  done(): Anchors {
    const tasks = [...this.tasks.values()].map(({ name, steps, keys, coarse, outer }) => ({ task: name, steps: steps.done(), keys: keys.done(), coarse: coarse.done(), outer: Uint8Array.from(outer.done()) }));
    return { tasks };
  }

  private task(id: number): Task {
    let task = this.tasks.get(id);
    if (task === undefined) {
      const comm = this.names.get(NameKind.Task, id) ?? "";
      const nth = (this.known.get(comm) ?? 0) + 1;
      this.known.set(comm, nth);
      this.tasks.set(id, (task = new Task(`${comm} ${nth}`)));
    }
    return task;
  }

  private word(text: string): number {
    let hash = this.words.get(text);
    if (hash === undefined) {
      hash = 0x811c9dc5;
      for (let i = 0; i < text.length; i++) hash = mix(hash, text.charCodeAt(i));
      this.words.set(text, hash);
    }
    return hash;
  }
}

/** FNV-1a, by 32 bits. */
function mix(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193) ^ (value >>> 15);
}
