import { EVENTS } from "@faultline/trace";
import type { FolioRequests, HistoryView } from "../core/folio_protocol.js";
import { eventPlace } from "./describe.js";
import { pageOf } from "./entries.js";
import { folioAt } from "./folio.js";
import { History } from "./history.js";
import type { Inside } from "./inside.js";
import { aboutEvent, nextOnLock } from "./locks.js";
import { memoryAt, slotAt } from "./memory.js";

/** Events that one question about a folio's history looks through: a blink. */
const SLICE = 1 << 16;
/** Rows of one answer, and how many of them lie ahead of the step. */
const ROWS = 400;
const ROWS_AHEAD = 150;

type Answers = { readonly [N in keyof FolioRequests]: (ask: FolioRequests[N]["ask"]) => Answer<N> };

/** A search goes on in slices; all else is answered at once. */
export type Answer<N extends keyof FolioRequests> = N extends "lockNext" ? Promise<FolioRequests[N]["answer"]> : FolioRequests[N]["answer"];

/** The history that was asked for last: of that trace, and one folio. */
const kept = { trace: null as Inside["trace"] | null, history: null as History | null };

function historyOf(inside: Inside, pfn: number): History | null {
  if (kept.trace === inside.trace && kept.history?.pfn === pfn) return kept.history;
  const page = pageOf(inside.stateAt(0).keyframe.memory, pfn);
  kept.trace = inside.trace;
  kept.history = page < 0 ? null : new History(inside, pfn, page, (executor, task) => eventPlace(inside.names, executor, task));
  return kept.history;
}

function viewOf(history: History, events: number, step: number): HistoryView {
  const { rows, scanned, life, cutAt, pfn } = history;
  const from = Math.max(0, Math.min(history.firstBehind(step) - ROWS_AHEAD, rows.length - ROWS));
  return { pfn, scanned, events, total: rows.length, from, rows: rows.slice(from, from + ROWS), lives: life, cutAt };
}

/** Answers to what views of folios, locks and memory ask. */
export function folioAnswers(open: () => Inside): Answers {
  return {
    eventDocs: () => EVENTS.map(({ name, system, doc }) => ({ name, system, doc })),
    folio: ({ step, pfn }) => folioAt(open(), step, pfn),
    history: ({ pfn, step }) => {
      const inside = open();
      const history = historyOf(inside, pfn);
      history?.scan(SLICE);
      return history === null ? null : viewOf(history, inside.events, step);
    },
    folioNext: ({ pfn, from, forward }) => {
      const history = historyOf(open(), pfn);
      if (history === null) return { step: null, done: true };
      const needed = (): boolean => !history.done && (forward ? history.next(from, true) === null : history.scanned < from);
      if (needed()) history.scan(SLICE);
      const done = !needed();
      return { step: done ? history.next(from, forward) : null, done };
    },
    lockNext: ({ lock, from, forward }) => nextOnLock(open(), lock, from, forward),
    about: ({ step }) => {
      const inside = open();
      const { memory } = inside.stateAt(step).keyframe;
      let answer: FolioRequests["about"]["answer"] = { pfn: null, lock: null, page: null };
      inside.read(step, step + 1, (_step, _time, _executor, _task, event, args) => {
        answer = aboutEvent(inside.names, memory, event, args);
      });
      return answer;
    },
    memory: ({ step, known }) => memoryAt(open(), step, known),
    slot: ({ step, slot }) => slotAt(open(), step, slot),
  };
}
