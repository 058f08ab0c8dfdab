import { useMemo, useRef, useState } from "preact/hooks";
import {
  Canvas,
  cellAtPlace,
  cellsOf,
  drawMemory,
  explainAt,
  explains,
  foundAt,
  foundWords,
  memoryLayout,
  moved,
  PageUse,
  revealed,
  SlotUse,
  Title,
  useAnswer,
  USES,
  type Found,
  type MemoryView,
  type Paper,
  type Place,
  type TraceInfo,
  type Use,
  type View,
  type Viewer,
} from "../core/index.js";

/** Cells that are shown at first: about as many as there is room for. */
const CELLS = 600;

function Memory({ viewer }: { readonly viewer: Viewer }) {
  const view = useMemory(viewer);
  const [wanted, setSpan] = useState<number | null>(null);
  const [width, setWidth] = useState(480);
  const [hover, setHover] = useState<Place | null>(null);
  const [slot, setSlot] = useState<Found | null>(null);
  const pages = view?.uses.length ?? 0;
  const span = Math.min(wanted ?? 2 ** Math.max(0, Math.ceil(Math.log2(pages / CELLS))), 2 ** 20);
  const cells = useMemo(() => (view === null ? null : cellsOf(view, span)), [view, span]);
  const layout = useMemo(() => (view === null || cells === null ? null : memoryLayout(view, cells, width)), [view, cells, width]);
  const pfn = viewer.follow.folio.value;
  const ofFolio = view === null || pfn === null ? null : foundAt(view, pfn);
  // The region may be another keyframe's.
  const selected = slot === null ? ofFolio : { ...slot, region: view?.regions.find(({ swap }) => swap) ?? slot.region };
  const paint = useMemo(
    () => (paper: Paper) => {
      if (paper.width !== width) setWidth(paper.width);
      if (view !== null && cells !== null && layout !== null) drawMemory(paper, view, cells, layout, selected);
    },
    [view, cells, layout, selected?.at, width],
  );
  const under = view === null || cells === null || layout === null || hover === null ? null : cellAtPlace(view, cells, layout, hover.x, hover.y);
  const told = under ?? selected;
  const ofSlot = useAnswer(viewer, "slot", told !== null && told.region.swap && told.pages === 1 ? { step: viewer.step.value, slot: told.at - told.region.first } : null);
  const zoom = (closer: boolean): void => setSpan(Math.max(1, Math.min(2 ** 20, closer ? span / 2 : span * 2)));
  const select = (found: Found | null): void => {
    if (found === null) return;
    if (found.region.swap) {
      setSlot({ ...found, pages: 1 });
      return;
    }
    setSlot(null);
    viewer.follow.selectFolio(found.region.pfn + found.at - found.region.first);
  };
  return (
    <section class="view memory" aria-label="Physical memory">
      <header>
        <Title viewer={viewer} />
        <span class="zoom">
          <button aria-label="Show more, smaller" title="− in the picture, or Ctrl and the wheel" onClick={() => zoom(false)}>
            −
          </button>
          <button aria-label="Show less, larger" title="+ in the picture, or Ctrl and the wheel" onClick={() => zoom(true)}>
            +
          </button>
          <span class="dim" data-testid="memory-span">
            {span === 1 ? "a cell is a page" : `a cell is ${span} pages`}
          </span>
        </span>
      </header>
      {view === null || layout === null || cells === null ? (
        <p class="empty">looking …</p>
      ) : (
        <Canvas
          paint={paint}
          contentHeight={layout.height}
          label="Physical memory and swap. Arrow keys select a page, plus and minus zoom; what is selected stands under Folio."
          testId="memory"
          reveal={selected === null ? null : revealed(view, cells, layout, selected)}
          onPoint={({ x, y }) => select(cellAtPlace(view, cells, layout, x, y))}
          onHover={(place, { clientX, clientY }) => {
            setHover(place);
            const at = place === null ? null : cellAtPlace(view, cells, layout, place.x, place.y);
            explainAt(at === null || at.pages > 1 ? null : `use ${view.uses[at.at]}`, clientX, clientY);
          }}
          onWheel={(event, { x, y }) => {
            if (!event.ctrlKey && !event.metaKey) return false;
            // What is under the pointer is what one wants to see closer.
            if (event.deltaY < 0) select(cellAtPlace(view, cells, layout, x, y));
            zoom(event.deltaY < 0);
            return true;
          }}
          onKey={({ key }) => {
            const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -2, ArrowDown: 2 }[key];
            if (by !== undefined) select(selected === null ? first(view) : moved(view, cells, layout, selected, by));
            else if (key === "+" || key === "=") zoom(true);
            else if (key === "-") zoom(false);
            else if (key === "Enter") viewer.showView("folio");
            else return false;
            return true;
          }}
        />
      )}
      <p class="hint" data-testid="memory-hint">
        {view === null || told === null ? "click or arrow keys: select a folio   + −: zoom" : ofSlot !== null ? `slot ${told.at - told.region.first}: ${ofSlot.words}` : foundWords(view, told)}
        {view === null || view.missing.length === 0 ? "" : `   not recorded: ${view.missing.join("; ")}`}
      </p>
      <Legend />
    </section>
  );
}

/** What is answered last: most steps change nothing of it. */
function useMemory(viewer: Viewer): MemoryView | null {
  const last = useRef<{ readonly info: TraceInfo | null; readonly view: MemoryView } | null>(null);
  const info = viewer.info.value;
  const kept = last.current?.info === info ? last.current.view : null;
  const answer = useAnswer(viewer, "memory", { step: viewer.step.value, known: kept?.keyframe ?? null });
  if (answer !== null && answer !== last.current?.view) last.current = { info, view: answer };
  return last.current?.info === info ? last.current.view : null;
}

function first({ regions }: MemoryView): Found | null {
  const region = regions[0];
  return region === undefined ? null : { region, at: region.first, pages: 1 };
}

function Legend() {
  const uses = [...Object.values(PageUse), ...Object.values(SlotUse)].filter((use): use is Use => typeof use === "number" && use !== SlotUse.Free);
  return (
    <ul class="legend" aria-label="Uses of pages and slots">
      {uses.map((use) => (
        <li key={use} {...explains(`use ${use}`)}>
          <span class={`cell ${USES[use].css}`}>{USES[use].letter}</span> {USES[use].name}
        </li>
      ))}
      <li title="Somebody may read or write it at any time (FOLL_PIN).">
        <span class="cell pinned" /> pinned
      </li>
      <li title="Pages of one folio hang together.">
        <span class="cell k-writable">{"A"}</span>
        <span class="cell k-writable">{"·"}</span> large folio
      </li>
    </ul>
  );
}

export const memoryView: View = { id: "memory", title: "Physical memory", panel: "space", component: Memory };
