import { useState } from "preact/hooks";
import { address, explains, Kind, KINDS, parseAddress, type LevelView, Title, type View, type Viewer, type WalkView, hex } from "../core/index.js";

function Walk({ viewer }: { readonly viewer: Viewer }) {
  const moment = viewer.moment.value;
  const selection = viewer.selection.value;
  if (moment === null) return null;
  const { walk } = moment;
  return (
    <section class="view walk" aria-label="Page-table walk">
      <header>
        <Title viewer={viewer} />
        <GoTo viewer={viewer} />
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="Walk of the selected address">
        {selection === null ? <p class="empty">select a page, or type an address</p> : walk === null ? <p class="empty">its address space is not there at this step</p> : <Walked viewer={viewer} walk={walk} />}
      </div>
    </section>
  );
}

function GoTo({ viewer }: { readonly viewer: Viewer }) {
  const [wrong, setWrong] = useState(false);
  const selection = viewer.selection.value;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const input = event.currentTarget.elements.namedItem("address") as HTMLInputElement;
        const vpn = parseAddress(input.value);
        const mm = viewer.moment.value?.space?.mm;
        setWrong(vpn === null || mm === undefined);
        if (vpn !== null && mm !== undefined) viewer.select({ mm, vpn });
      }}
    >
      <input name="address" aria-label="Address" aria-invalid={wrong} placeholder="0x…" size={14} spellcheck={false} key={selection?.vpn} defaultValue={selection === null ? "" : address(selection.vpn)} />
    </form>
  );
}

function Walked({ viewer, walk }: { readonly viewer: Viewer; readonly walk: WalkView }) {
  const kind = KINDS[walk.kind as Kind];
  return (
    <>
      <p class="what" data-testid="walk-kind" {...explains(`kind ${walk.kind}`)}>
        <span class={`cell ${kind.css}`}>{kind.letter}</span> <b>{address(walk.vpn)}</b> {kind.name}
      </p>
      <p class="dim">
        mm {walk.mm}: {walk.vma}
      </p>
      {walk.levels.map((level) => (
        <Level key={level.level} level={level} />
      ))}
      {walk.mirrors.map(({ name, words, disagrees }) => (
        <p key={name} class={disagrees ? "bad" : ""} data-testid="walk-mirror">
          <span class="tag">{name}</span> {words}
          {disagrees ? " – not backed by the CPU's entry: right only while an invalidation is under way" : ""}
        </p>
      ))}
      {walk.folio === null ? null : <Folio viewer={viewer} walk={walk} />}
    </>
  );
}

function Level({ level: { level, node, index, pfn, flags, words, bits } }: { readonly level: LevelView }) {
  return (
    <div class="level">
      <p>
        <span class="tag">{level}</span> table {node}[{index}] = {flags === 0 ? "0" : `${hex(pfn)} | ${hex(flags)}`} <span class="dim">{words}</span>
      </p>
      {bits.length === 0 ? null : (
        <ul class="bits" aria-label={`Bits of the ${level} entry`}>
          {bits.map(({ name, set }) => (
            <li key={name} class={set ? "set" : ""} {...explains(`bit ${name}`)} aria-label={`${name} ${set ? "set" : "clear"}`}>
              {name}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The folio behind it in a line, which leads to its own view. */
function Folio({ viewer, walk: { folio, basis } }: { readonly viewer: Viewer; readonly walk: WalkView }) {
  const { pfn, order, refcount, mapcount } = folio!;
  const show = (): void => {
    viewer.follow.selectFolio(pfn);
    viewer.showView("folio");
  };
  return (
    <p class="folio" data-testid="walk-folio">
      <span class="tag">folio</span> <button onClick={show}>pfn {hex(pfn)}</button> order {order}, refcount {refcount}, mapcount {mapcount}
      {basis.since === 0 ? null : <span class="dim"> – counts as of {basis.since} events ago</span>}
    </p>
  );
}

export const walkView: View = { id: "walk", title: "Page-table walk", panel: "entry", component: Walk };
