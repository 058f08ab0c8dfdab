import type { Calls } from "./calls.js";
import { framesOf, Places, Translator, type Statement } from "./emit_c_calls.js";
import type { Scenario } from "./scenario.js";
import type { Step, Violation } from "./violation.js";

/** How far a thread is: its call number `call`, from 0, has begun, or has ended. */
export interface Progress {
  readonly thread: number;
  readonly call: number;
  readonly ended: boolean;
}

/** Where the schedule leaves a thread that is in a call. */
export interface Leaving {
  /** The kernel function, empty outside of all, and what it is about to do. */
  readonly at: string;
  readonly about: string;
  readonly to: string;
}

export interface PlannedCall {
  readonly statement: Statement;
  /** What of another thread comes before it; `delay` numbers the delays, null where there is nothing to hit. */
  readonly after: (Progress & { readonly delay: number | null }) | null;
  readonly leavings: readonly Leaving[];
  /** The delay by which this call comes late where the other one is to come early. */
  readonly lead: number | null;
  /** The function in which the rule was seen to be broken, during this call. */
  readonly breaks: string | null;
}

export interface PlannedThread {
  /** As the scenario has it, and as a part of identifiers. */
  readonly name: string;
  readonly ident: string;
  readonly executor: string;
  /** CPUs are numbered from 0; those of device threads come after the scenario's. */
  readonly cpu: number;
  /** Whether the rule was broken before it came to anything. */
  readonly late: boolean;
  readonly calls: readonly PlannedCall[];
}

/** The race, call by call. */
export interface Plan {
  readonly places: Places;
  readonly setup: readonly Statement[];
  readonly threads: readonly PlannedThread[];
  /** What the scenario's check does besides loading words. */
  readonly check: readonly Statement[];
  /** Addresses of the words that it loads. */
  readonly loaded: readonly number[];
  readonly delays: number;
}

/**
 * What an execution that breaks a rule makes of a scenario's threads. It ends where the rule is
 * broken; `whole` has what they would have gone on to do.
 */
export function planRace(scenario: Scenario, violation: Violation, whole: Calls): Plan {
  const { calls } = violation;
  const places = new Places([calls, whole]);
  const seen = new Translator(places, framesOf(calls));
  const other = new Translator(places, framesOf(whole));
  const names = Object.keys(scenario.threads);
  const idents = identifiers(names);
  const setup = calls.setup.map((call) => seen.statement(call, "mirror[THREADS]"));
  const threads = names.map((name, i) => {
    const mirror = `mirror[${constantOf(idents[i]!)}]`;
    const begun = (calls.threads[name] ?? []).map((call) => seen.statement(call, mirror));
    const all = (whole.threads[name] ?? []).map((call) => other.statement(call, mirror));
    // A thread that has gone another way here may go on as it likes.
    const goesOn = begun.every(({ source }, at) => all[at]?.source === source);
    return { name, begun, all: goesOn ? [...begun, ...all.slice(begun.length)] : begun };
  });
  const check = whole.check.map((call) => other.statement(call, "mirror[THREADS]")).filter(({ code, call }) => code !== null && call.name !== "load32" && call.name !== "frameOf");
  const loaded = whole.check.flatMap(({ name, args }) => (name === "load32" && typeof args[0] === "number" ? [args[0]] : []));
  const links = linksOf(violation, threads.map(({ name, begun }) => ({ name, calls: begun })));
  const cpus = scenario.machine?.cpus ?? 2;
  const planned = threads.map(({ name, all }, thread): PlannedThread => {
    const { on } = scenario.threads[name]!;
    return {
      name,
      ident: idents[thread]!,
      executor: "cpu" in on ? `CPU ${on.cpu}` : typeof on.device === "string" ? on.device : `device ${on.device}`,
      // Of a driver's device nothing is written that would run.
      cpu: "cpu" in on ? on.cpu : typeof on.device === "string" ? 0 : cpus + on.device,
      late: (calls.threads[name] ?? []).length === 0,
      calls: all.map((statement, call) => ({
        statement,
        after: links.after.get(`${thread} ${call}`) ?? (call === 0 ? links.lateAfter(thread) : null),
        leavings: links.leavings.get(`${thread} ${call}`) ?? [],
        lead: links.leads.get(`${thread} ${call}`) ?? null,
        breaks: links.breaks?.thread === thread && links.breaks.call === call ? links.breaks.in : null,
      })),
    };
  });
  return { places, setup, threads: planned, check, loaded, delays: links.delays };
}

interface Links {
  /** By thread and call. */
  readonly after: Map<string, NonNullable<PlannedCall["after"]>>;
  readonly leavings: Map<string, Leaving[]>;
  readonly leads: Map<string, number>;
  readonly breaks: { readonly thread: number; readonly call: number; readonly in: string } | null;
  readonly delays: number;
  /** What a thread waits for that had not begun. */
  lateAfter(thread: number): PlannedCall["after"];
}

/** Steps of one thread with nobody in between: from the first to before the end. */
interface Turn {
  readonly thread: number;
  readonly from: number;
  readonly end: number;
}

/** The order of the calls, and where the schedule goes from the middle of one to the beginning of another. */
function linksOf(violation: Violation, threads: readonly { readonly name: string; readonly calls: readonly Statement[] }[]): Links {
  const { trace, decisive, at } = violation;
  const turns = turnsOf(
    trace.slice(0, decisive),
    threads.map(({ name }) => name),
  );
  const after: Links["after"] = new Map();
  const leavings: Links["leavings"] = new Map();
  const leads: Links["leads"] = new Map();
  let delays = 0;
  /** The call that a thread is in after so many steps, or its last one; null before the first. */
  const progressAt = (thread: number, steps: number): Progress | null => {
    const { calls } = threads[thread]!;
    const call = calls.findLastIndex((s) => s.call.from < steps);
    if (call < 0) return null;
    const { to } = calls[call]!.call;
    return { thread, call, ended: to !== null && to <= steps };
  };
  for (const [i, turn] of turns.entries()) {
    const before = turns[i - 1];
    const progress = before === undefined ? null : progressAt(before.thread, before.end);
    if (before === undefined || progress === null) continue;
    const left = `${progress.thread} ${progress.call}`;
    if (!progress.ended) {
      // Events tell of what has been done; the last point, of what was about to be.
      const { words, function: at } = trace.slice(before.from, before.end).findLast((step) => step.words !== "" && step.thread === threads[before.thread]!.name) ?? trace[before.end - 1]!;
      const leaving = { at, about: words, to: threads[turn.thread]!.name };
      leavings.set(left, [...(leavings.get(left) ?? []), leaving]);
    }
    const begins = threads[turn.thread]!.calls.findIndex(({ call }) => call.from >= turn.from && call.from < turn.end);
    if (begins < 0) continue;
    const delay = progress.ended ? null : delays++;
    after.set(`${turn.thread} ${begins}`, { ...progress, delay });
    if (delay !== null && !leads.has(left)) leads.set(left, delay);
  }
  const last = turns.at(-1);
  const end = last === undefined ? null : progressAt(last.thread, decisive);
  const running = at === null ? -1 : threads.findIndex(({ name }) => name === at.thread);
  const broken = running < 0 ? null : progressAt(running, decisive);
  return {
    after,
    leavings,
    leads,
    delays,
    breaks: broken === null ? null : { thread: running, call: broken.call, in: trace[decisive - 1]?.function ?? "" },
    lateAfter: (thread) => (end === null || end.thread === thread || progressAt(thread, decisive) !== null ? null : { ...end, ended: true, delay: null }),
  };
}

/** Turns of the scenario's own threads; whoever else runs is in nobody's way. */
function turnsOf(trace: readonly Step[], names: readonly string[]): Turn[] {
  const turns: { thread: number; from: number; end: number }[] = [];
  for (const [i, step] of trace.entries()) {
    const thread = names.indexOf(step.thread);
    if (thread < 0) continue;
    const current = turns.at(-1);
    if (current?.thread === thread) current.end = i + 1;
    else turns.push({ thread, from: i, end: i + 1 });
  }
  return turns;
}

/** The constant that numbers a thread. */
export function constantOf(ident: string): string {
  return `T_${ident.toUpperCase()}`;
}

/** Names as parts of identifiers, all different whatever their case. */
function identifiers(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const plain = name.replaceAll(/[^A-Za-z0-9]+/g, "_").replaceAll(/^_|_$/g, "").toLowerCase() || "thread";
    let ident = plain;
    for (let n = 2; taken.has(ident); n++) ident = `${plain}_${n}`;
    taken.add(ident);
    return ident;
  });
}
