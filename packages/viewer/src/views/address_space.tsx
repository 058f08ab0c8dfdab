import { useMemo, useState } from "preact/hooks";
import { address, Canvas, explainAt, explains, Kind, KINDS, kindsAt, MirrorBit, size, type MirrorView, type Paper, type Place, type Selection, type SpaceView, Title, type View, type Viewer, type VmaView } from "../core/index.js";

const CELL = 17;
const GUTTER = 108;
const HEADER = 19;
const LINE = 18;
const GAP = 8;
const FONT = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
const FONT_CELL = "bold 11px ui-monospace, 'DejaVu Sans Mono', monospace";

/** One line of cells: of the CPUs' page table, or of a device's. */
interface Line {
  readonly y: number;
  readonly vma: VmaView;
  readonly first: number;
  readonly count: number;
  /** Null for the CPUs. */
  readonly mirror: { readonly view: MirrorView; readonly cells: Uint8Array } | null;
}

interface Layout {
  readonly headers: readonly { readonly y: number; readonly vma: VmaView }[];
  readonly lines: readonly Line[];
  readonly height: number;
}

function layoutOf(space: SpaceView, width: number): Layout {
  const perLine = Math.max(8, 1 << Math.floor(Math.log2(Math.max(8, (width - GUTTER - 4) / CELL))));
  const headers: { readonly y: number; readonly vma: VmaView }[] = [];
  const lines: Line[] = [];
  let y = 4;
  for (const [v, vma] of space.vmas.entries()) {
    headers.push({ y, vma });
    y += HEADER;
    const mirrors = space.mirrors.filter((mirror) => mirror.cells[v]!.some((bits) => bits !== 0));
    for (let first = 0; first < vma.cells.length; first += perLine) {
      const count = Math.min(perLine, vma.cells.length - first);
      lines.push({ y, vma, first, count, mirror: null });
      y += LINE;
      for (const view of mirrors) {
        const cells = view.cells[v]!;
        lines.push({ y, vma, first, count, mirror: { view, cells } });
        y += LINE;
      }
      if (mirrors.length > 0) y += 3;
    }
    y += GAP;
  }
  return { headers, lines, height: y };
}

function AddressSpace({ viewer }: { readonly viewer: Viewer }) {
  const moment = viewer.moment.value;
  const space = moment?.space ?? null;
  const selection = viewer.selection.value;
  const [width, setWidth] = useState(480);
  const [hover, setHover] = useState<Place | null>(null);
  const layout = useMemo(() => (space === null ? null : layoutOf(space, width)), [space, width]);
  const beside = viewer.peer.value?.viewer.moment.value?.space;
  const other = useMemo(() => (beside == null || beside.mm !== space?.mm ? null : kindsAt(beside)), [beside, space]);
  const paint = useMemo(
    () => (paper: Paper) => {
      if (paper.width !== width) setWidth(paper.width);
      if (space !== null && layout !== null) draw(paper, space, layout, selection, other);
    },
    [space, layout, selection, width, other],
  );
  if (moment === null) return null;
  const { spaces } = moment.spaces;
  const reveal = layout === null || selection === null ? null : linesOf(layout, selection);
  const cell = hover === null || layout === null ? null : cellAt(layout, hover);
  return (
    <section class="view space" aria-label="Address space">
      <header>
        <Title viewer={viewer} />
        <select aria-label="Address space" value={space?.mm ?? ""} onChange={(event) => viewer.showSpace(Number(event.currentTarget.value))}>
          {spaces.map(({ mm, tasks, pages, resident }) => (
            <option key={mm} value={mm}>
              mm {mm} {tasks.slice(0, 3).join(", ")}: {size(pages)} mapped, {resident} pages resident
            </option>
          ))}
        </select>
      </header>
      {space === null || layout === null ? (
        <p class="empty">no address space at this step</p>
      ) : (
        <Canvas
          paint={paint}
          contentHeight={layout.height}
          label="Pages of the address space. Arrow keys select a page; what is selected stands under Page-table walk."
          testId="space"
          reveal={reveal}
          onPoint={(place) => {
            const at = cellAt(layout, place);
            if (at !== null) viewer.select({ mm: space.mm, vpn: at.vpn });
          }}
          onHover={(place, { clientX, clientY }) => {
            setHover(place);
            const at = place === null ? null : cellAt(layout, place);
            explainAt(at === null || at.line.mirror !== null ? null : `kind ${at.line.vma.cells[at.index]}`, clientX, clientY);
          }}
          onKey={({ key }) => moveSelection(viewer, space, layout, key)}
        />
      )}
      <p class="hint">{cell === null ? "click or arrow keys: select a page" : cellWords(cell)}</p>
      <Legend />
    </section>
  );
}

function Legend() {
  const kinds = Object.values(Kind).filter((kind): kind is Kind => typeof kind === "number");
  return (
    <ul class="legend" aria-label="Kinds of entries">
      {kinds.map((kind) => (
        <li key={kind} {...explains(`kind ${kind}`)}>
          <span class={`cell ${KINDS[kind].css}`}>{KINDS[kind].letter}</span> {KINDS[kind].name}
        </li>
      ))}
      <li title="A device's translation that the CPU's entry does not back: right only while an invalidation is under way.">
        <span class="cell disagrees">!</span> device disagrees
      </li>
    </ul>
  );
}

interface Cell {
  readonly line: Line;
  readonly index: number;
  readonly vpn: number;
}

function cellAt({ lines }: Layout, { x, y }: Place): Cell | null {
  const line = lines.find((one) => y >= one.y && y < one.y + LINE);
  const at = Math.floor((x - GUTTER) / CELL);
  if (line === undefined || at < 0 || at >= line.count) return null;
  const index = line.first + at;
  return { line, index, vpn: vpnOf(line.vma, index) };
}

function vpnOf(vma: VmaView, index: number): number {
  return Math.max(vma.start, vma.first + index * vma.span);
}

function cellWords({ line: { vma, mirror }, index, vpn }: Cell): string {
  const where = vma.span === 1 ? address(vpn) : `${address(vpn)}, 2 MiB`;
  if (mirror !== null) {
    const bits = mirror.cells[index]!;
    const rights = bits === 0 ? "no translation" : (bits & MirrorBit.Atomic) !== 0 ? "atomic" : (bits & MirrorBit.Write) !== 0 ? "read, write" : "read";
    return `${mirror.view.name} at ${where}: ${rights}${(bits & MirrorBit.Disagrees) !== 0 ? ", which the CPU's entry does not back" : ""}`;
  }
  const kind = KINDS[vma.cells[index]! as Kind];
  return vma.span === 1 ? `${where}: ${kind.name}. ${kind.doc}` : `${where}: ${vma.filled[index]} of 512 entries, most of them ${kind.name}`;
}

/** Where the selection is drawn: page by page where it is, else in the overview. */
function linesOf({ lines }: Layout, { vpn }: Selection): readonly [number, number] | null {
  const holds = ({ vma, first, count, mirror }: Line): boolean => mirror === null && vpn >= vma.first + first * vma.span && vpn < vma.first + (first + count) * vma.span;
  const found = lines.findLast(holds);
  return found === undefined ? null : [found.y, found.y + LINE];
}

function moveSelection(viewer: Viewer, space: SpaceView, { lines }: Layout, key: string): boolean {
  const moves: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const move = moves[key];
  if (move === undefined) return false;
  const cpu = lines.filter(({ mirror }) => mirror === null);
  const selected = viewer.selection.value;
  const vpn = selected?.mm === space.mm ? selected.vpn : null;
  const at = vpn === null ? -1 : cpu.findLastIndex(({ vma, first, count }) => vpn >= vma.first + first * vma.span && vpn < vma.first + (first + count) * vma.span);
  const line = cpu[at];
  if (line === undefined) {
    if (cpu[0] !== undefined) viewer.select({ mm: space.mm, vpn: vpnOf(cpu[0].vma, cpu[0].first) });
    return true;
  }
  const column = Math.floor((vpn! - line.vma.first) / line.vma.span) - line.first;
  const target = cpu[at + move[1]] ?? line;
  let wanted = column + move[0];
  let [row, index] = [target, Math.min(wanted, target.count - 1)];
  if (wanted < 0 && cpu[at - 1] !== undefined) [row, index] = [cpu[at - 1]!, cpu[at - 1]!.count - 1];
  else if (wanted >= line.count && move[0] > 0 && cpu[at + 1] !== undefined) [row, index] = [cpu[at + 1]!, 0];
  wanted = Math.max(0, index);
  viewer.select({ mm: space.mm, vpn: vpnOf(row.vma, row.first + wanted) });
  return true;
}

function draw({ ctx, top, height, width, colour }: Paper, space: SpaceView, layout: Layout, selection: Selection | null, other: ReturnType<typeof kindsAt> | null): void {
  const text = (words: string, x: number, y: number, ink: string): void => {
    ctx.fillStyle = colour(ink);
    ctx.fillText(words, x, y);
  };
  ctx.font = FONT;
  for (const { y, vma } of layout.headers) {
    if (y + HEADER < top || y > top + height) continue;
    const at = y - top + HEADER / 2;
    const range = `${address(vma.start)}–${address(vma.end)}`;
    text(range, 6, at, "text");
    const rest = `${vma.rights} ${size(vma.end - vma.start)}${vma.name === "" ? "" : ` ${vma.name}`}${vma.flags === "" ? "" : ` (${vma.flags})`}${vma.span === 1 ? "" : ", a cell is 2 MiB"}`;
    text(rest, 12 + ctx.measureText(range).width, at, "dim");
  }
  for (const line of layout.lines) {
    if (line.y + LINE < top || line.y > top + height) continue;
    const y = line.y - top;
    ctx.font = FONT;
    if (line.mirror === null) text(address(vpnOf(line.vma, line.first)), 6, y + LINE / 2, "dim");
    else text(` └ ${line.mirror.view.name}`.slice(0, 15), 2, y + LINE / 2, "dim");
    ctx.font = FONT_CELL;
    for (let i = 0; i < line.count; i++) {
      const index = line.first + i;
      const x = GUTTER + i * CELL;
      if (line.mirror === null) drawEntry(ctx, x, y, line.vma, index, colour);
      else drawMirror(ctx, x, y, line.mirror.cells[index]!, colour);
      const { first, span, cells } = line.vma;
      if (line.mirror === null && other !== null && other(first + index * span, span) !== cells[index]) drawDifference(ctx, x, y, colour);
      const vpn = vpnOf(line.vma, index);
      const within = selection !== null && selection.mm === space.mm && selection.vpn >= vpn && selection.vpn < vpn + line.vma.span;
      if (!within) continue;
      ctx.strokeStyle = colour("accent");
      ctx.lineWidth = 2;
      ctx.strokeRect(x + 0.5, y + 0.5, CELL - 2, LINE - 2);
      ctx.lineWidth = 1;
    }
  }
  if (layout.lines.length === 0) text("no VMA", 6, 12, "dim");
  void width;
}

function drawEntry(ctx: CanvasRenderingContext2D, x: number, y: number, vma: VmaView, index: number, colour: (name: string) => string): void {
  const kind = vma.cells[index]! as Kind;
  const { css, letter } = KINDS[kind];
  if (kind === Kind.None) {
    ctx.strokeStyle = colour("line");
    ctx.strokeRect(x + 1.5, y + 1.5, CELL - 4, LINE - 4);
    return;
  }
  ctx.fillStyle = colour(css);
  if (vma.span === 1) ctx.fillRect(x + 1, y + 1, CELL - 3, LINE - 3);
  else {
    // How full the 2 MiB are is how high the colour stands.
    ctx.strokeStyle = colour("line");
    ctx.strokeRect(x + 1.5, y + 1.5, CELL - 4, LINE - 4);
    const tall = Math.max(4, Math.round(((LINE - 3) * vma.filled[index]!) / 512));
    ctx.fillRect(x + 1, y + LINE - 2 - tall, CELL - 3, tall);
  }
  ctx.fillStyle = colour(vma.span !== 1 && vma.filled[index]! < 256 ? "text" : "cell-text");
  ctx.fillText(letter, x + 4.5, y + LINE / 2 + 0.5);
}

/** A corner: the run beside this one has something else here. */
function drawDifference(ctx: CanvasRenderingContext2D, x: number, y: number, colour: (name: string) => string): void {
  ctx.fillStyle = colour("bad");
  ctx.beginPath();
  ctx.moveTo(x + CELL - 2, y + 1);
  ctx.lineTo(x + CELL - 2, y + 8);
  ctx.lineTo(x + CELL - 9, y + 1);
  ctx.fill();
}

function drawMirror(ctx: CanvasRenderingContext2D, x: number, y: number, bits: number, colour: (name: string) => string): void {
  if (bits === 0) {
    ctx.fillStyle = colour("line");
    ctx.fillRect(x + CELL / 2 - 2, y + LINE / 2 - 1, 3, 2);
    return;
  }
  const disagrees = (bits & MirrorBit.Disagrees) !== 0;
  ctx.fillStyle = colour(disagrees ? "bad" : "mirror");
  ctx.fillRect(x + 1, y + 2, CELL - 3, LINE - 5);
  const letter = (bits & MirrorBit.Atomic) !== 0 ? "a" : (bits & MirrorBit.Write) !== 0 ? "w" : "r";
  ctx.fillStyle = colour(disagrees ? "bad-text" : "cell-text");
  ctx.fillText(disagrees ? `${letter}!` : letter, x + (disagrees ? 1 : 4.5), y + LINE / 2);
}

export const addressSpaceView: View = { id: "space", title: "Address space", panel: "space", component: AddressSpace };
