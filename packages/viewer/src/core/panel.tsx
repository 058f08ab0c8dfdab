import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { View } from "./index.js";
import type { Viewer } from "./viewer.js";

/** The views of one part of the window, of which one is shown, and the number of each: the key that shows it. */
export interface PanelViews {
  readonly name: string;
  readonly views: readonly { readonly view: View; readonly key: string }[];
  readonly shown: View;
}

export const PanelContext = createContext<PanelViews | null>(null);

/** The heading of a view: its title, and those of the views that share its part of the window. */
export function Title({ viewer }: { readonly viewer: Viewer }) {
  const panel = useContext(PanelContext);
  if (panel === null) return null;
  const { name, views, shown } = panel;
  if (views.length === 1) return <h2>{shown.title}</h2>;
  const move = (by: number, tab: HTMLElement): void => {
    const at = views.findIndex(({ view }) => view === shown);
    const next = (at + by + views.length) % views.length;
    viewer.showView(views[next]!.view.id);
    (tab.parentElement?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <div role="tablist" aria-label={name} class="tabs">
      {views.map(({ view, key }) => (
        <button
          key={view.id}
          id={`tab-${view.id}`}
          role="tab"
          aria-selected={view === shown}
          tabIndex={view === shown ? 0 : -1}
          title={`${view.title} (${key})`}
          onClick={() => viewer.showView(view.id)}
          onKeyDown={(event) => {
            const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
            if (by === 0) return;
            // An arrow key is a step everywhere else.
            event.preventDefault();
            event.stopPropagation();
            move(by, event.currentTarget);
          }}
        >
          {view.title}
        </button>
      ))}
    </div>
  );
}
