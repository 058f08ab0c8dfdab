import { useEffect, useRef, useState } from "preact/hooks";
import { duration, type Moment, type TraceInfo, type View, type Viewer } from "../core/index.js";

const TABS = { events: "Events", race: "Race diagram", output: "Output" } as const;
type Tab = keyof typeof TABS;

function Events({ viewer }: { readonly viewer: Viewer }) {
  const moment = viewer.moment.value;
  const info = viewer.info.value;
  const [tab, setTab] = useState<Tab>("events");
  if (moment === null || info === null) return null;
  const tabs = (Object.keys(TABS) as Tab[]).filter((name) => name === "events" || (name === "race" ? info.broken !== null : info.output !== ""));
  const shown = tabs.includes(tab) ? tab : "events";
  return (
    <section class="view events" aria-label="Events">
      <header>
        <div role="tablist">
          {tabs.map((name) => (
            <button key={name} role="tab" aria-selected={shown === name} onClick={() => setTab(name)}>
              {TABS[name]}
            </button>
          ))}
        </div>
      </header>
      {shown === "race" ? <Race viewer={viewer} broken={info.broken!} /> : shown === "output" ? <Output text={info.output} /> : <List viewer={viewer} moment={moment} broken={info.broken?.event ?? -1} />}
    </section>
  );
}

function List({ viewer, moment, broken }: { readonly viewer: Viewer; readonly moment: Moment; readonly broken: number }) {
  const { step, events } = moment;
  const list = useVisibleRow<HTMLOListElement>(moment);
  return (
    <div class="scroller text" tabIndex={0} role="region" aria-label="Events around the step">
      <ol ref={list}>
        {events.map((row) => (
          <li key={row.step} aria-current={row.step === step ? "step" : undefined} class={row.step === broken ? "broken" : ""} title={`${row.doc} (${duration(row.time)})`} onClick={() => viewer.goTo(row.step)}>
            <span class="number">{row.step}</span> <span class="place">{row.where}</span> <b>{row.name}</b> <span class="dim">{row.text}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** The diagram that `faultline check` prints; each line that is a step leads there. */
function Race({ viewer, broken: { kind, message, event, diagram } }: { readonly viewer: Viewer; readonly broken: NonNullable<TraceInfo["broken"]> }) {
  const step = viewer.step.value;
  const list = useVisibleRow<HTMLOListElement>(step);
  const [chosen, setChosen] = useState(-1);
  // Several lines may be of one event: points are none.
  const current = diagram[chosen]?.event === step ? chosen : diagram.findLastIndex((row) => row.event !== null && row.event <= step);
  return (
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
  );
}

function Output({ text }: { readonly text: string }) {
  return (
    <div class="scroller text" tabIndex={0} role="region" aria-label="What the program wrote">
      <pre data-testid="output">{text}</pre>
    </div>
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

export const eventsView: View = { id: "events", title: "Events", component: Events };
