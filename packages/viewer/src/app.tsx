import { useEffect, useRef } from "preact/hooks";
import type { Viewer } from "./core/viewer.js";
import { duration } from "./core/format.js";
import type { PanelName, View } from "./core/index.js";
import { PanelContext } from "./core/panel.js";
import { setTheme, theme } from "./core/theme.js";
import { GalleryPage, openFile } from "./gallery_page.js";
import { addressSpaceView } from "./views/address_space.js";
import { eventsView, outputView, raceView } from "./views/events.js";
import { timelineView } from "./views/timeline.js";
import { walkView } from "./views/walk.js";

/** Every view, in the order of the window; its place here, from 1, is the key that shows it. */
const VIEWS: readonly View[] = [timelineView, addressSpaceView, walkView, eventsView, raceView, outputView];
const PANELS: readonly (readonly [id: PanelName, name: string])[] = [
  ["timeline", "Timeline"],
  ["space", "Memory"],
  ["entry", "Page"],
  ["events", "Events"],
];

const HELP = `w s: zoom · a d: move · ← →: step (shift: 10) · home end · space: play · [ ]: earlier, later event of the selected page · /: search · n N: next, previous match · f: zoom to the step · 0: everything · 1 to ${VIEWS.length}: a view · t: theme`;

export function App({ viewer }: { readonly viewer: Viewer }) {
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      if (pressed(viewer, event, search.current)) event.preventDefault();
    };
    const drop = (event: DragEvent): void => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (event.type === "drop" && file !== undefined) openFile(viewer, file);
    };
    addEventListener("keydown", keys);
    addEventListener("dragover", drop);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("keydown", keys);
      removeEventListener("dragover", drop);
      removeEventListener("drop", drop);
    };
  }, [viewer]);
  const info = viewer.info.value;
  return (
    <>
      <Bar viewer={viewer} search={search} />
      {viewer.error.value === null ? null : (
        <p class="error" role="alert" data-testid="error">
          <span>{viewer.error.value}</span>
          <button aria-label="Dismiss" onClick={() => (viewer.error.value = null)}>
            ×
          </button>
        </p>
      )}
      {info === null ? (
        <GalleryPage viewer={viewer} />
      ) : (
        <main class="views">
          {PANELS.map(([id, name]) => (
            <Panel key={id} id={id} name={name} viewer={viewer} />
          ))}
        </main>
      )}
      <Status viewer={viewer} />
    </>
  );
}

/** A part of the window: the view in it that was asked for last, or its first. */
function Panel({ id, name, viewer }: { readonly id: PanelName; readonly name: string; readonly viewer: Viewer }) {
  const views = VIEWS.map((view, i) => ({ view, key: String(i + 1) })).filter(({ view }) => view.panel === id && view.available?.(viewer) !== false);
  const asked = viewer.shown.value.map((wanted) => views.find(({ view }) => view.id === wanted)).find((found) => found !== undefined);
  const shown = (asked ?? views[0])?.view;
  if (shown === undefined) return null;
  const { component: Component } = shown;
  return (
    <PanelContext.Provider value={{ name, views, shown }}>
      <Component viewer={viewer} />
    </PanelContext.Provider>
  );
}

function Bar({ viewer, search }: { readonly viewer: Viewer; readonly search: { readonly current: HTMLInputElement | null } }) {
  const info = viewer.info.value;
  return (
    <header class="bar">
      <button class="name" onClick={() => viewer.close()} title="Back to the gallery">
        Faultline
      </button>
      {info === null ? null : (
        <>
          <h1 title={`${info.program} ${info.args.join(" ")}; ${info.machine}`}>
            {info.program} <span class="dim">{info.args.join(" ")}</span>
          </h1>
          <span class="dim" data-testid="kernel">
            {info.release}
            {info.without.map((name) => ` −${name}`)}
            {info.patches.map((file) => ` +${file}`)}
          </span>
          {info.broken === null ? null : (
            <button class="bad" title={`${info.broken.rule}. ${info.broken.message}`} data-testid="broken" onClick={() => viewer.goTo(info.broken!.event)}>
              {info.broken.kind} at step {info.broken.event}
            </button>
          )}
          <input
            ref={search}
            class="search"
            type="search"
            aria-label="Search events"
            placeholder="search ( / )"
            onKeyDown={(event) => {
              if (event.key === "Enter") void viewer.search(event.currentTarget.value, !event.shiftKey);
              if (event.key === "Escape") event.currentTarget.blur();
            }}
          />
          <button aria-pressed={viewer.playing.value} title="Play (space)" onClick={() => viewer.togglePlay()}>
            {viewer.playing.value ? "pause" : "play"}
          </button>
        </>
      )}
      <button title="Dark or light (t)" onClick={() => setTheme(theme.value === "dark" ? "light" : "dark")}>
        {theme.value === "dark" ? "light" : "dark"}
      </button>
    </header>
  );
}

function Status({ viewer }: { readonly viewer: Viewer }) {
  const { info, busy, moment, step, timeline } = viewer;
  if (busy.value !== null) {
    return (
      <footer class="status" aria-live="polite">
        {busy.value} …
      </footer>
    );
  }
  if (info.value === null) return <footer class="status">the engine runs in this page: nothing is sent anywhere</footer>;
  const since = moment.value?.spaces.basis.since ?? 0;
  return (
    <footer class="status" title={HELP}>
      <span role="status" data-testid="step">
        step {step.value} of {info.value.events - 1}, {duration(timeline.value?.times[step.value] ?? 0)}
      </span>
      <span class="dim">{since === 0 ? "state as recorded at this step" : `entries as of this step; counts, VMAs, accessed and dirty bits as recorded ${since} events before`}</span>
      {info.value.notes.map((note) => (
        <span key={note} class="dim">
          {note}
        </span>
      ))}
      <span class="hash" title="SHA-256 of all events: the same as 'faultline trace' prints" data-testid="hash">
        {info.value.hash}
      </span>
    </footer>
  );
}

/** Keys of the whole window; true for one that was meant. */
function pressed(viewer: Viewer, event: KeyboardEvent, search: HTMLInputElement | null): boolean {
  const { target, key } = event;
  const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || viewer.info.value === null) return false;
  const step = viewer.step.value;
  const actions: Readonly<Record<string, () => unknown>> = {
    w: () => viewer.zoom(0.7),
    s: () => viewer.zoom(1 / 0.7),
    a: () => viewer.pan(-0.15),
    d: () => viewer.pan(0.15),
    f: () => viewer.show(step - 20, 41),
    0: () => viewer.show(0, Infinity),
    ArrowLeft: () => viewer.goTo(step - (event.shiftKey ? 10 : 1)),
    ArrowRight: () => viewer.goTo(step + (event.shiftKey ? 10 : 1)),
    Home: () => viewer.goTo(0),
    End: () => viewer.goTo(viewer.last.value),
    "[": () => viewer.nextTouching(false),
    "]": () => viewer.nextTouching(true),
    n: () => viewer.search(viewer.query.value, true),
    N: () => viewer.search(viewer.query.value, false),
    "/": () => search?.focus(),
    t: () => setTheme(theme.value === "dark" ? "light" : "dark"),
  };
  // A button that has the focus is pressed by it.
  if (key === " " && !(target instanceof HTMLButtonElement)) {
    viewer.togglePlay();
    return true;
  }
  const view = VIEWS[Number(key) - 1];
  const action = actions[key] ?? (view === undefined ? undefined : () => viewer.showView(view.id));
  if (action === undefined) return false;
  void action();
  return true;
}
