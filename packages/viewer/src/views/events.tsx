import { useEffect, useRef, useState } from "preact/hooks";
import { countUpTo, duration, Title, type View, type Viewer } from "../core/index.js";

function Events({ viewer }: { readonly viewer: Viewer }) {
  const moment = viewer.moment.value;
  const list = useVisibleRow<HTMLOListElement>(moment);
  if (moment === null) return null;
  const broken = viewer.info.value?.broken?.event;
  const only = viewer.peer.value?.only;
  const isOnly = (step: number): boolean => only !== undefined && only[countUpTo(only, step) - 1] === step;
  return (
    <section class="view events" aria-label="Events">
      <header>
        <Title viewer={viewer} />
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="Events around the step">
        <ol ref={list}>
          {moment.events.map((row) => (
            <li
              key={row.step}
              aria-current={row.step === moment.step ? "step" : undefined}
              class={row.step === broken ? "broken" : isOnly(row.step) ? "only" : ""}
              onClick={() => viewer.goTo(row.step)}
            >
              <span class="number" title={duration(row.time)}>
                {row.step}
              </span>{" "}
              <span class="place">{row.where}</span> {isOnly(row.step) ? <span class="mark" title="The other run does not have this event.">≠</span> : null} <b data-explain={row.explain}>{row.name}</b> <span class="dim">{row.text}</span>
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

/** The diagram that `faultline check` prints; each line that is a step leads there. */
function Race({ viewer }: { readonly viewer: Viewer }) {
  const broken = viewer.info.value?.broken ?? null;
  const step = viewer.step.value;
  const [chosen, setChosen] = useState(-1);
  const list = useVisibleRow<HTMLOListElement>(step);
  if (broken === null) return null;
  const { kind, message, event, diagram } = broken;
  // Several lines may be of one event: points are none.
  const current = diagram[chosen]?.event === step ? chosen : diagram.findLastIndex((row) => row.event !== null && row.event <= step);
  return (
    <section class="view events" aria-label="Race diagram">
      <header>
        <Title viewer={viewer} />
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="Race diagram">
        <p>
          <b>{kind}</b>: {message}
        </p>
        <p>
          <button onClick={() => viewer.goTo(event)}>go to step {event}, where it was seen</button>{" "}
          <button onClick={() => void navigator.clipboard.writeText(diagram.map(({ text }) => `${text}\n`).join(""))}>copy as text</button>
        </p>
        <ol ref={list} class="race" data-testid="race">
          {diagram.map((row, i) => (
            <li key={i} aria-current={i === current ? "step" : undefined}>
              {row.event === null ? (
                <span>{row.text}</span>
              ) : (
                <button
                  title={`step ${row.event}`}
                  onClick={() => {
                    setChosen(i);
                    viewer.goTo(row.event!);
                  }}
                >
                  {row.text}
                </button>
              )}
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

function Output({ viewer }: { readonly viewer: Viewer }) {
  return (
    <section class="view events" aria-label="Output">
      <header>
        <Title viewer={viewer} />
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="What the program wrote">
        <pre data-testid="output">{viewer.info.value?.output}</pre>
      </div>
    </section>
  );
}

/** A list whose current row is brought into sight when something changes, and only then. */
function useVisibleRow<T extends HTMLElement>(change: unknown) {
  const list = useRef<T>(null);
  useEffect(() => {
    const row = list.current?.querySelector<HTMLElement>("[aria-current]");
    const box = list.current?.parentElement;
    if (row == null || box == null) return;
    const [top, bottom] = [row.offsetTop - box.offsetTop, row.offsetTop - box.offsetTop + row.offsetHeight];
    if (top < box.scrollTop + 20 || bottom > box.scrollTop + box.clientHeight - 20) box.scrollTop = top - box.clientHeight / 2;
  }, [change]);
  return list;
}

export const eventsView: View = { id: "events", title: "Events", panel: "events", component: Events };
export const raceView: View = { id: "race", title: "Race diagram", panel: "events", available: ({ info }) => info.value?.broken != null, component: Race };
export const outputView: View = { id: "output", title: "Output", panel: "events", available: ({ info }) => (info.value?.output ?? "") !== "", component: Output };
