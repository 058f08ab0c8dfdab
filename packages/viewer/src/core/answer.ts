import { useEffect, useRef, useState } from "preact/hooks";
import type { RequestName, Requests } from "./protocol.js";
import type { Viewer } from "./viewer.js";

/**
 * The worker's answer to a view's own question, asked anew whenever it changes: one at a time, and the last one wins.
 * What was answered last stays until then. Null for no question, and before the first answer.
 */
export function useAnswer<N extends RequestName>(viewer: Viewer, name: N, ask: Requests[N]["ask"] | null): Requests[N]["answer"] | null {
  const [answer, setAnswer] = useState<{ readonly value: Requests[N]["answer"] } | null>(null);
  const state = useRef({ wanted: ask, busy: false, gone: false });
  const key = JSON.stringify(ask);
  useEffect(() => {
    const { current } = state;
    current.wanted = ask;
    const next = async (): Promise<void> => {
      if (current.busy) return;
      current.busy = true;
      try {
        for (;;) {
          const { wanted } = current;
          if (wanted === null || current.gone) return;
          const value = await viewer.ask(name, wanted);
          if (!current.gone) setAnswer({ value });
          if (current.wanted === wanted) return;
        }
      } catch (error) {
        viewer.fail(error);
      } finally {
        current.busy = false;
      }
    };
    void next();
  }, [name, key, viewer.info.value, viewer.settled.value]);
  useEffect(() => {
    state.current.gone = false;
    return () => {
      state.current.gone = true;
    };
  }, []);
  return ask === null ? null : (answer?.value ?? null);
}
