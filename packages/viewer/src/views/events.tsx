import { useEffect, useRef, useState } from "preact/hooks";
import { duration, type View, type Viewer } from "../core/index.js";

function Events({ viewer }: { readonly viewer: Viewer }) {
  const moment = viewer.moment.value;
  const broken = viewer.info.value?.broken ?? null;
  const [tab, setTab] = useState<"events" | "race">("events");
  const list = useRef<HTMLOListElement>(null);
  const step = moment?.step ?? 0;
  useEffect(() => {
    const row = list.current?.querySelector<HTMLElement>("[aria-current]");
    const box = list.current?.parentElement;
    if (row == null || box == null) return;
    const [top, bottom] = [row.offsetTop - box.offsetTop, row.offsetTop - box.offsetTop + row.offsetHeight];
    if (top < box.scrollTop + 20 || bottom > box.scrollTop + box.clientHeight - 20) box.scrollTop = top - box.clientHeight / 2;
  }, [step, moment, tab]);
  if (moment === null) return null;
  const shown = broken === null ? "events" : tab;
  return (
    <section class="view events" aria-label="Events">
      <header>
        {broken === null ? (
          <h2>Events</h2>
        ) : (
          <div role="tablist">
            <button role="tab" aria-selected={shown === "events"} onClick={() => setTab("events")}>
              Events
            </button>
            <button role="tab" aria-selected={shown === "race"} onClick={() => setTab("race")}>
              Race diagram
            </button>
          </div>
        )}
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label={shown === "race" ? "Race diagram" : "Events around the step"}>
        {shown === "race" && broken !== null ? (
          <>
            <p>
              <b>{broken.kind}</b>: {broken.message}
            </p>
            <p>
              <button onClick={() => viewer.goTo(broken.step)}>go to step {broken.step}, where it was seen</button>{" "}
              <button onClick={() => void navigator.clipboard.writeText(broken.diagram)}>copy as text</button>
            </p>
            <pre data-testid="race">{broken.diagram}</pre>
          </>
        ) : (
          <ol ref={list}>
            {moment.events.map((row) => (
              <li
                key={row.step}
                aria-current={row.step === step ? "step" : undefined}
                class={row.step === broken?.step ? "broken" : ""}
                title={`${row.doc} (${duration(row.time)})`}
                onClick={() => viewer.goTo(row.step)}
              >
                <span class="number">{row.step}</span> <span class="place">{row.where}</span> <b>{row.name}</b> <span class="dim">{row.text}</span>
              </li>
            ))}
          </ol>
        )}
      </div>
    </section>
  );
}

export const eventsView: View = { id: "events", title: "Events", component: Events };
