import { ScenarioError } from "@faultline/checker";
import { ElfError, isElf } from "@faultline/riscv";
import { CANCELLED } from "../core/protocol.js";
import type { Launch, Reply, Request, RequestName, Requests, Source, TimelineData } from "../core/protocol.js";
import { align } from "./align.js";
import { folioAnswers } from "./folio_answers.js";
import { gallery, programNamed, programsOf, scenarioNamed } from "./gallery.js";
import { recordProgram, recordScenario, Refusal, repeatProgram } from "./live.js";
import { Cancelled } from "./search.js";
import { Session } from "./session.js";

/* The worker: one trace at a time, and answers to what the page asks about it, in turn. */

type Answers = { readonly [N in RequestName]: (ask: Requests[N]["ask"], id: number) => Requests[N]["answer"] | Promise<Requests[N]["answer"]> };

const context = { session: null as Session | null };

const ANSWERS: Answers = {
  gallery: () => gallery(),
  open: async (source, id) => {
    const session = await opened(source, (text) => send({ id, progress: text }));
    context.session = session;
    return { info: session.info, timeline: session.timeline };
  },
  spaces: ({ step }) => open().spaces(step),
  space: ({ step, mm, detail }) => open().space(step, mm, detail),
  walk: ({ step, mm, vpn }) => open().walk(step, mm, vpn),
  events: ({ from, to }) => open().events(from, to),
  search: ({ text, from, forward }, id) => open().search(text, from, forward, percent(id)),
  touching: ({ mm, vpn, from, forward }, id) => open().touching(mm, vpn, from, forward, percent(id)),
  settle: ({ step }) => open().settle(step),
  cancel: () => {
    context.session?.cancel();
    return null;
  },
  anchors: ({ inner }) => open().anchors(inner),
  align: ({ inner, other }) => align(open().anchors(inner), other),
  ...folioAnswers(() => open().inside),
};

function percent(id: number): (done: number) => void {
  return reading((progress) => send({ id, progress }));
}

function open(): Session {
  if (context.session === null) throw new Refusal("no trace is open");
  return context.session;
}

async function opened(source: Source, progress: (text: string) => void): Promise<Session> {
  switch (source.kind) {
    case "file": {
      const bytes = await contentOf(source.content);
      return isElf(bytes) ? ran(source.name, source, bytes, progress) : new Session(bytes, "", reading(progress));
    }
    case "served": {
      // Beside the page; this script is one folder further down.
      const response = await fetch(new URL(`../trace-${source.number}.fltrace`, location.href));
      if (!response.ok) throw new Refusal("no such trace is served here: start 'faultline view FILE.fltrace'");
      return new Session(new Uint8Array(await response.arrayBuffer()), "", reading(progress));
    }
    case "scenario": {
      const scenario = scenarioNamed(source.name);
      if (scenario === undefined) throw new Refusal(`there is no scenario '${source.name}' in the gallery`);
      const { bytes, output } = recordScenario(source, scenario, await programsOf(scenario));
      return new Session(bytes, output);
    }
    case "program": {
      const program = await programNamed(source.name);
      if (program === null) throw new Refusal(`there is no program '${source.name}' in the gallery`);
      return ran(`programs/prebuilt/${source.name}`, source, program, progress);
    }
  }
}

function ran(path: string, launch: Launch, program: Uint8Array, progress: (text: string) => void): Session {
  const { bytes, output } = recordProgram(path, launch, program, (events) => progress(`${events} events`));
  return new Session(bytes, output, undefined, (from, to) => repeatProgram(path, launch, program, from, to));
}

/** Tells how far something is, no more often than that can be read. */
function reading(progress: (text: string) => void): (done: number) => void {
  let last = performance.now();
  return (done) => {
    if (performance.now() - last < 200) return;
    last = performance.now();
    progress(`${Math.floor(done * 100)} %`);
  };
}

async function contentOf(file: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Refusal("it cannot be read");
  }
}

function send(reply: Reply, given: Transferable[] = []): void {
  postMessage(reply, { transfer: given });
}

/** The arrays of a timeline: they are given to the page, not copied. */
function arraysOf({ lanes, times }: TimelineData): ArrayBuffer[] {
  const rows = lanes.flatMap(({ rows, marks }) => [...rows.flatMap(({ starts, ends, names }) => [starts, ends, names]), ...marks.flatMap(({ steps, names }) => [steps, names])]);
  return [...rows, times.starts, times.bases, times.offsets].map(({ buffer }) => buffer as ArrayBuffer);
}

/** What was wrong, in one line. What is no complaint of ours is a bug, and says so. */
function complaint(error: unknown): string {
  const text = error instanceof Error ? error.message.split("\n", 1)[0]! : String(error);
  if (error instanceof Cancelled) return CANCELLED;
  if (error instanceof Refusal || error instanceof ScenarioError || error instanceof ElfError) return text;
  return `internal error: ${text}`;
}

async function answer<N extends RequestName>({ id, name, ask }: Request<N>): Promise<void> {
  try {
    if (ask !== null && "step" in ask) await context.session?.prepare(ask.step);
    const given = await ANSWERS[name](ask, id);
    send({ id, answer: given }, name === "open" ? arraysOf((given as Requests["open"]["answer"]).timeline) : []);
  } catch (error) {
    send({ id, error: complaint(error) });
  }
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  void answer(data);
});
