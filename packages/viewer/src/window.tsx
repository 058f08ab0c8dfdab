import type { PanelName, View } from "./core/index.js";
import { PanelContext } from "./core/panel.js";
import type { Viewer } from "./core/viewer.js";
import { addressSpaceView } from "./views/address_space.js";
import { eventsView, outputView, raceView } from "./views/events.js";
import { folioView } from "./views/folio.js";
import { historyView } from "./views/history.js";
import { memoryView } from "./views/memory.js";
import { timelineView } from "./views/timeline.js";
import { walkView } from "./views/walk.js";

/** Every view, in the order of the window; its place here, from 1, is the key that shows it. */
export const VIEWS: readonly View[] = [timelineView, addressSpaceView, memoryView, walkView, folioView, eventsView, historyView, raceView, outputView];

/** A part of the window, and the views that share it. */
interface Panel {
  readonly name: string;
  readonly holds: readonly PanelName[];
}

const PANELS: readonly Panel[] = [
  { name: "Timeline", holds: ["timeline"] },
  { name: "Memory", holds: ["space"] },
  { name: "Page", holds: ["entry"] },
  { name: "Events", holds: ["events"] },
];

/** Where two runs share the window. */
const NARROW_PANELS: readonly Panel[] = [
  { name: "Timeline", holds: ["timeline"] },
  { name: "Memory", holds: ["space"] },
  { name: "Page and events", holds: ["entry", "events"] },
];

/** All that is shown of a run. */
export function Panels({ viewer, narrow = false }: { readonly viewer: Viewer; readonly narrow?: boolean }) {
  return (
    <div class={narrow ? "views narrow" : "views"}>
      {(narrow ? NARROW_PANELS : PANELS).map((panel) => (
        <ShownPanel key={panel.name} panel={panel} viewer={viewer} />
      ))}
    </div>
  );
}

/** The view of a panel that was asked for last, or its first. */
function ShownPanel({ panel: { name, holds }, viewer }: { readonly panel: Panel; readonly viewer: Viewer }) {
  const views = VIEWS.map((view, i) => ({ view, key: String(i + 1) })).filter(({ view }) => holds.includes(view.panel) && view.available?.(viewer) !== false);
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
