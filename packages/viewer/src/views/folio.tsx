import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { address, explains, lockWords, size, Title, useAnswer, USES, type FolioView, type HolderView, type Use, type View, type Viewer, hex } from "../core/index.js";

function Folio({ viewer }: { readonly viewer: Viewer }) {
  const pfn = viewer.follow.folio.value;
  const folio = useAnswer(viewer, "folio", pfn === null ? null : { step: viewer.step.value, pfn });
  return (
    <section class="view folio-view" aria-label="Folio">
      <header>
        <Title viewer={viewer} />
        <GoTo viewer={viewer} />
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="The selected folio">
        {pfn === null ? (
          <p class="empty">select a page that has a folio, press o at an event that names one, or type a pfn</p>
        ) : folio === null ? (
          <p class="empty">there is no memory with pfn {hex(pfn)}</p>
        ) : (
          <Known viewer={viewer} folio={folio} />
        )}
      </div>
      <LockLine viewer={viewer} />
    </section>
  );
}

function GoTo({ viewer }: { readonly viewer: Viewer }) {
  const [wrong, setWrong] = useState(false);
  const pfn = viewer.follow.folio.value;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const input = event.currentTarget.elements.namedItem("pfn") as HTMLInputElement;
        const match = /^\s*(?:0x)?([0-9a-f]{1,10})\s*$/i.exec(input.value);
        setWrong(match === null);
        if (match !== null) viewer.follow.selectFolio(parseInt(match[1]!, 16));
      }}
    >
      <input name="pfn" aria-label="Page frame number" aria-invalid={wrong} placeholder="pfn 0x…" size={10} spellcheck={false} key={pfn} defaultValue={pfn === null ? "" : hex(pfn)} />
    </form>
  );
}

function Known({ viewer, folio }: { readonly viewer: Viewer; readonly folio: FolioView }) {
  const { pfn, first, part, order, use, where, refcount, mapcount, entireMapcount, pins, flags, pageFlags, lru, memcg, mapping, index, holders, others, missing, basis } = folio;
  const { letter, name, css } = USES[use as Use];
  const pages = 2 ** order;
  return (
    <div data-testid="folio">
      <p class="what" {...explains(`use ${use}`)}>
        <span class={`cell ${css}`}>{letter}</span> <b>pfn {hex(pfn)}</b> {name}
        {basis.since === 0 ? null : <span class="dim"> – counts and flags as of {basis.since} events ago</span>}
      </p>
      <p class="dim">
        {where}
        {pages === 1 ? "; a folio of one page" : `; page ${part} of ${pages} (order ${order}, ${size(pages)}) from pfn ${hex(first)}`}
      </p>
      <dl>
        <Fact name="refcount">
          {refcount}
        </Fact>
        <Fact name="mapcount">
          {mapcount}
          {entireMapcount > 0 ? <span class="dim"> ({entireMapcount} of the whole)</span> : null}
        </Fact>
        <Fact name="pins">
          {pins === null ? "not recorded" : pins}
        </Fact>
        <Fact name="flags">
          {flags.length === 0 ? "none" : flags.map((flag) => <Flag key={flag} name={flag} />)}
          {pageFlags.map((flag) => (
            <Flag key={flag} name={flag} of="this page: " />
          ))}
        </Fact>
        <Fact name="LRU list">
          {lru}
        </Fact>
        <Fact name="cgroup">
          {memcg}
        </Fact>
        <Fact name="mapping">
          {mapping}
          {index === null ? null : <span class="dim">, index {hex(index)}</span>}
        </Fact>
      </dl>
      <h3>
        Held by <span class="dim">references</span>
      </h3>
      <ul class="holders" data-testid="holders">
        {holders.map((holder, i) => (
          <Holder key={i} viewer={viewer} holder={holder} />
        ))}
        {others > 0 ? (
          <li {...explains("holder others")}>
            <b>{others}</b> others, which this recording does not name
          </li>
        ) : null}
        {others < 0 ? <li class="dim">entries have come since the counts were recorded: {-others} more than counted</li> : null}
        {holders.length === 0 && others === 0 ? <li class="dim">nobody</li> : null}
      </ul>
      <Elsewhere viewer={viewer} pfn={pfn} />
      {missing.map((line) => (
        <p key={line} class="dim">
          not recorded: {line}
        </p>
      ))}
      <p>
        <button title="All that happened to it, event by event" onClick={() => viewer.showView("history")}>
          history
        </button>{" "}
        <button title="{ and }: the event before, and behind" onClick={() => void viewer.follow.nextOnFolio(true)}>
          next event
        </button>{" "}
        <button title="Follow the lock of this folio: , and . go to its events" onClick={() => viewer.follow.selectLock({ kind: "folio", pfn: first })}>
          follow its lock
        </button>
      </p>
    </div>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <>
      <dt {...explains(`word ${name}`)}>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Flag({ name, of = "" }: { readonly name: string; readonly of?: string }) {
  return (
    <span class="flag" {...explains(`flag ${name}`)}>
      {of}
      {name}
    </span>
  );
}

function Holder({ viewer, holder: { who, doc, references, page, pfn } }: { readonly viewer: Viewer; readonly holder: HolderView }) {
  const kept = viewer.follow.folio.value;
  const go = (): void => {
    if (page !== null) {
      viewer.select(page);
      // The folio is what leads here, whatever its entry says.
      if (kept !== null) viewer.follow.selectFolio(kept);
    } else if (pfn !== null) viewer.follow.selectFolio(pfn);
  };
  return (
    <li>
      <b>{references}</b>{" "}
      {page === null && pfn === null ? (
        <span {...explains(`holder ${doc}`)}>{who}</span>
      ) : (
        <button class="link" {...explains(`holder ${doc}`)} aria-label={`${who}: ${page === null ? "show that folio" : `select the page ${address(page.vpn)}`}`} onClick={go}>
          {who}
        </button>
      )}
    </li>
  );
}

/** What the selected page has by now, where that is another folio. */
function Elsewhere({ viewer, pfn }: { readonly viewer: Viewer; readonly pfn: number }) {
  const walk = viewer.moment.value?.walk;
  if (walk?.folio == null || walk.folio.pfn === pfn) return null;
  const { pfn: now } = walk.folio;
  return (
    <p>
      the selected page has another: <button onClick={() => viewer.follow.selectFolio(now)}>follow pfn {hex(now)}</button>
    </p>
  );
}

/** The lock that is followed. */
function LockLine({ viewer }: { readonly viewer: Viewer }) {
  const lock = viewer.follow.lock.value;
  return (
    <p class="hint" data-testid="lock">
      {lock === null ? "no lock is followed: click one in the timeline, or l at its event" : `lock: ${lockWords(lock)} ( , . )`}
    </p>
  );
}

export const folioView: View = { id: "folio", title: "Folio", panel: "entry", component: Folio };
