import type { Scenario } from "@faultline/checker";
import type { FolioRequests, HistoryView } from "../src/core/folio_protocol.js";
import { folioAnswers, type Answer } from "../src/worker/folio_answers.js";
import { recordScenario } from "../src/worker/live.js";
import { Session } from "../src/worker/session.js";

/** An execution of a scenario as the viewer has it open, and what its views ask. */
export interface Opened {
  readonly session: Session;
  readonly last: number;
  ask<N extends keyof FolioRequests>(name: N, ask: FolioRequests[N]["ask"]): Answer<N>;
  /** All of a folio's history, as one row a line: "kind text". */
  history(pfn: number): readonly string[];
}

export async function openScenario(name: string): Promise<Opened> {
  const { default: scenario } = (await import(`../../../scenarios/${name}.ts`)) as { readonly default: Scenario };
  const { bytes, output } = recordScenario({ kind: "scenario", name, release: "7.3", without: [], schedule: "default" }, scenario, new Map());
  return opened(new Session(bytes, output));
}

export function opened(session: Session): Opened {
  const answers = folioAnswers(() => session.inside);
  return {
    session,
    last: session.info.events - 1,
    ask: (name, ask) => answers[name](ask),
    history: (pfn) => {
      let view: HistoryView | null;
      do view = answers.history({ pfn, step: 0, turn: 0 });
      while (view !== null && view.scanned < view.events);
      return view!.rows.map(({ kind, text }) => `${kind} ${text}`);
    },
  };
}
