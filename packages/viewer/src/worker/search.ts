import type { Event } from "@faultline/kernel";
import { EVENTS, type Names } from "@faultline/trace";
import { describeEvent } from "./describe.js";

/** Looks at one event, and says whether it is meant. */
export type Look = (step: number, time: number, executor: number, task: number, event: Event, args: readonly number[]) => boolean;

/** Events that are read at a time. */
const PART_EVENTS = 1 << 12;
/** Milliseconds that a search goes on before others get their turn. */
const SLICE_MS = 8;

/** A search that another has taken the place of, or that nobody wants any more. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
}

/** Searches through a trace's events, one at a time, in slices: what else is asked is answered meanwhile. */
export class Searches {
  private current: object | null = null;

  /** @param read gives the events [from, to) to `look` */
  constructor(
    private readonly events: number,
    private readonly read: (from: number, to: number, look: (...event: Parameters<Look>) => unknown) => void,
  ) {}

  cancel(): void {
    this.current = null;
  }

  /**
   * The nearest event that matches, ahead of or behind `from`; null where there is none. `progress` is told how much has
   * been looked through, from 0 to 1.
   * @throws Cancelled when another search begins, or `cancel` is called
   */
  async nearest(from: number, forward: boolean, matches: Look, progress: (done: number) => void = () => {}): Promise<number | null> {
    const mine = (this.current = {});
    let since = performance.now();
    let found: number | null = null;
    const all = forward ? this.events - from - 1 : from;
    for (let done = 0; done < all && found === null; done += PART_EVENTS) {
      const [begin, end] = forward ? [from + 1 + done, Math.min(this.events, from + 1 + done + PART_EVENTS)] : [Math.max(0, from - done - PART_EVENTS), from - done];
      this.read(begin, end, (step, ...rest) => {
        if ((found === null || !forward) && matches(step, ...rest)) found = step;
      });
      if (performance.now() - since < SLICE_MS || found !== null) continue;
      progress(done / all);
      await new Promise((resolve) => setTimeout(resolve));
      if (this.current !== mine) throw new Cancelled();
      since = performance.now();
    }
    return found;
  }
}

/** What numbers are written with. */
const DIGITS = /[0-9a-fx-]+/;

/** Whether the words of an event have a text, whatever its case. What can be known of all events of a kind is found out once. */
export function textMatcher(names: Names, text: string): Look {
  const wanted = text.toLowerCase();
  // Parts of the text that no number can be: they must stand in what does not change from one event to the next.
  const fixed = wanted.split(DIGITS).filter((part) => part !== "");
  const known = new Map<number, Answer>();
  const describe = (event: Event, task: number, executor: number, args: readonly number[]): string => {
    const row = describeEvent(names, 0, 0, executor, task, event, args);
    return `${row.name} ${row.text} ${row.task} ${row.where}`.toLowerCase();
  };
  const answerOf = (event: Event, task: number, executor: number, args: readonly number[], whole: boolean): Answer => {
    const { args: kinds } = EVENTS[event]!;
    if (whole) return describe(event, task, executor, args).includes(wanted) ? Answer.Yes : Answer.No;
    if (kinds.some(([, kind]) => NAMED.has(kind) || kind === "raw")) return Answer.Depends;
    const words = describe(event, task, executor, args);
    return fixed.every((part) => words.includes(part)) ? Answer.Depends : Answer.No;
  };
  return (_step, _time, executor, task, event, args) => {
    const { args: kinds } = EVENTS[event]!;
    const whole = kinds.length === 1 && kinds[0]![1] === "function";
    const detail = whole ? args[0]! : 0;
    // Larger numbers than machines have are not worth an answer for later.
    const small = task < 1 << 20 && executor < 1 << 10 && detail < 1 << 13;
    if (!small) return describe(event, task, executor, args).includes(wanted);
    const key = ((task * (1 << 10) + executor) * (1 << 7) + event) * (1 << 13) + detail;
    let answer = known.get(key);
    if (answer === undefined) {
      if (known.size >= KNOWN_MAX) known.clear();
      known.set(key, (answer = answerOf(event, task, executor, args, whole)));
    }
    return answer === Answer.Depends ? describe(event, task, executor, args).includes(wanted) : answer === Answer.Yes;
  };
}

/** Answers that are kept. */
const KNOWN_MAX = 1 << 16;

enum Answer {
  No,
  Yes,
  Depends,
}

/** Kinds of arguments that stand as names, which differ from event to event. */
const NAMED: ReadonlySet<string> = new Set(["pid", "executor", "device", "lockClass", "function", "syscall"]);
