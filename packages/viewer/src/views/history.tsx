import { useEffect, useRef, useState } from "preact/hooks";
import { duration, Title, useAnswer, type HistoryKind, type HistoryRow, type HistoryView, type View, type Viewer } from "../core/index.js";

/** Letters and shapes besides words: what kind of thing happened. */
const MARKS: Readonly<Record<HistoryKind, string>> = {
  alloc: "+",
  free: "−",
  map: "●",
  unmap: "○",
  swap: "S",
  migrate: "M",
  exclusive: "X",
  device: "D",
  lock: "L",
  lru: "≡",
  access: "·",
};

/** What can be left out, since there is much of it. */
const FILTERS: readonly (readonly [name: string, kinds: readonly HistoryKind[]])[] = [
  ["locks", ["lock"]],
  ["accesses", ["access"]],
];

function History({ viewer }: { readonly viewer: Viewer }) {
  const pfn = viewer.follow.folio.value;
  const step = viewer.step.value;
  const [turn, setTurn] = useState(0);
  const [hidden, setHidden] = useState<readonly HistoryKind[]>([]);
  const history = useAnswer(viewer, "history", pfn === null ? null : { pfn, step, turn });
  const list = useRef<HTMLOListElement>(null);
  const more = history !== null && history.pfn === pfn && history.scanned < history.events && history.cutAt === null;
  useEffect(() => {
    if (more) setTurn((n) => n + 1);
  }, [history, more]);
  const marked = history === null ? -1 : history.rows.findLastIndex((row) => row.step <= step);
  useEffect(() => {
    const row = list.current?.querySelector<HTMLElement>("[aria-current]");
    const box = list.current?.parentElement;
    if (row == null || box == null) return;
    const top = row.offsetTop - box.offsetTop;
    if (top < box.scrollTop + 16 || top + row.offsetHeight > box.scrollTop + box.clientHeight - 16) box.scrollTop = top - box.clientHeight / 2;
  }, [marked, history?.from]);
  return (
    <section class="view events history" aria-label="Folio history">
      <header>
        <Title viewer={viewer} />
        {FILTERS.map(([name, kinds]) => (
          <label key={name}>
            <input
              type="checkbox"
              checked={!hidden.includes(kinds[0]!)}
              onChange={(event) => setHidden(event.currentTarget.checked ? hidden.filter((kind) => !kinds.includes(kind)) : [...hidden, ...kinds])}
            />
            {name}
          </label>
        ))}
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="Everything that happened to the folio">
        {pfn === null ? (
          <p class="empty">select a folio first: a page that has one, or by its pfn</p>
        ) : history === null || history.pfn !== pfn ? (
          <p class="empty">looking through the events …</p>
        ) : (
          <ol ref={list} data-testid="history">
            {history.from === 0 ? null : (
              <li class="life" onClick={() => viewer.goTo(history.rows[0]!.step - 1)}>
                … {history.from} earlier
              </li>
            )}
            {history.rows.map((row, i) => (hidden.includes(row.kind) ? null : <Row key={i} viewer={viewer} row={row} before={history.rows[i - 1]} current={i === marked} step={step} first={history.from === 0 && i === 0} />))}
            <Rest viewer={viewer} history={history} />
          </ol>
        )}
      </div>
      <p class="hint" data-testid="history-bound">
        {history === null || history.pfn !== pfn ? "" : bound(history)}
      </p>
    </section>
  );
}

function Row({ viewer, row, before, current, step, first }: { readonly viewer: Viewer; readonly row: HistoryRow; readonly before: HistoryRow | undefined; readonly current: boolean; readonly step: number; readonly first: boolean }) {
  const newLife = first || (before !== undefined && before.life !== row.life);
  return (
    <>
      {newLife ? <li class="life">{row.life === 0 ? "since before the recording began" : `life ${row.life} of the frame`}</li> : null}
      <li
        aria-current={current ? "step" : undefined}
        class={row.step > step ? "later" : ""}
        title={`${row.where}, ${row.task}, ${duration(row.time)}`}
        onClick={() => {
          viewer.goTo(row.step);
        }}
      >
        <span class="number">{row.step}</span> <span class="mark">{MARKS[row.kind]}</span> {row.text}{" "}
        {row.pfn === null ? null : <Other viewer={viewer} row={row} />}
        <span class="dim">{row.task}</span>
      </li>
    </>
  );
}

/** The folio on the other side of a migration. */
function Other({ viewer, row }: { readonly viewer: Viewer; readonly row: HistoryRow }) {
  return (
    <button
      onClick={(event) => {
        event.stopPropagation();
        viewer.goTo(row.step);
        viewer.follow.selectFolio(row.pfn!);
      }}
    >
      follow pfn 0x{row.pfn!.toString(16)}
    </button>
  );
}

function Rest({ viewer, history: { from, rows, total } }: { readonly viewer: Viewer; readonly history: HistoryView }) {
  const rest = total - from - rows.length;
  return rest === 0 ? null : (
    <li class="life" onClick={() => viewer.goTo(rows.at(-1)!.step + 1)}>
      … {rest} later
    </li>
  );
}

function bound({ scanned, events, total, lives, cutAt }: HistoryView): string {
  if (cutAt !== null) return `the first ${total} that happened; what comes behind step ${cutAt} is not listed`;
  if (scanned < events) return `looked through ${Math.floor((100 * scanned) / events)}% of the events; ${total} so far`;
  return `${total} of ${events} events, ${lives} ${lives === 1 ? "allocation" : "allocations"} of the frame`;
}

export const historyView: View = { id: "history", title: "Folio history", panel: "events", component: History };
