import { address, size } from "./format.js";
import { Kind, KINDS } from "./kinds.js";
import type { Selection } from "./link.js";
import type { SpaceView, WalkView } from "./protocol.js";
import type { Moment } from "./viewer.js";

/** One way in which two machines differ at corresponding steps. */
export interface Difference {
  readonly what: string;
  /** What the first has, and the second. */
  readonly left: string;
  readonly right: string;
  /** Where to look. */
  readonly at: Selection | null;
}

/** Differences that are listed at most. */
const LISTED_MAX = 200;

/** How what is shown of two machines differs: address spaces, entries, and the walk to the selected page. */
export function differences(left: Moment, right: Moment): Difference[] {
  const all: Difference[] = [];
  const add = (what: string, a: string, b: string, at: Selection | null = null): void => {
    if (a !== b && all.length < LISTED_MAX) all.push({ what, left: a, right: b, at });
  };
  const spaces = new Map(right.spaces.spaces.map((space) => [space.mm, space]));
  for (const { mm, resident, pages, tasks } of left.spaces.spaces) {
    const other = spaces.get(mm);
    spaces.delete(mm);
    add(`mm ${mm}`, tasks.join(", "), other === undefined ? "is not there" : other.tasks.join(", "));
    if (other === undefined) continue;
    add(`mm ${mm}, resident`, size(resident), size(other.resident));
    add(`mm ${mm}, mapped`, size(pages), size(other.pages));
  }
  for (const { mm, tasks } of spaces.values()) add(`mm ${mm}`, "is not there", tasks.join(", "));
  if (left.space !== null && right.space?.mm === left.space.mm) addEntries(left.space, right.space, add);
  if (left.walk !== null && right.walk !== null) addWalk(left.walk, right.walk, add);
  return all;
}

type Add = (what: string, left: string, right: string, at?: Selection | null) => void;

function addEntries(left: SpaceView, right: SpaceView, add: Add): void {
  const { mm } = left;
  const [a, b] = [cellsOf(left), cellsOf(right)];
  const keys = [...new Set([...a.keys(), ...b.keys()])].sort((x, y) => x - y);
  // Neighbours that differ in the same way are one line.
  const runs: Run[] = [];
  for (const key of keys) {
    const [own, other] = [a.get(key), b.get(key)];
    const words = [wordsOf(own), wordsOf(other)] as const;
    if (words[0] === words[1]) continue;
    const { vpn, span } = (own ?? other)!;
    const last = runs.at(-1);
    if (last?.to === vpn && last.span === span && last.words[0] === words[0] && last.words[1] === words[1]) last.to += span;
    else runs.push({ from: vpn, to: vpn + span, span, words });
  }
  for (const { from, to, span, words } of runs) {
    const pages = to - from;
    add(`${address(from)}, ${span > 1 ? size(pages) : pages === 1 ? "a page" : `${pages} pages`}`, ...words, { mm, vpn: from });
  }
}

interface Run {
  readonly from: number;
  to: number;
  readonly span: number;
  readonly words: readonly [string, string];
}

interface CellState {
  readonly vpn: number;
  readonly span: number;
  readonly kind: Kind;
  readonly filled: number;
}

/** Cells of the mappings, page by page where that is shown; by place, and overviews ahead of what is in them. */
function cellsOf({ vmas }: SpaceView): Map<number, CellState> {
  const cells = new Map<number, CellState>();
  for (const { first, span, cells: kinds, filled } of vmas) {
    for (let i = 0; i < kinds.length; i++) {
      const vpn = first + i * span;
      cells.set(vpn * 2 + (span === 1 ? 1 : 0), { vpn, span, kind: kinds[i]!, filled: filled[i]! });
    }
  }
  return cells;
}

function wordsOf(cell: CellState | undefined): string {
  if (cell === undefined) return "no VMA";
  const { name } = KINDS[cell.kind];
  return cell.span === 1 || cell.filled === 0 ? name : `${cell.filled} of 512, ${name}`;
}

function addWalk(left: WalkView, right: WalkView, add: Add): void {
  const at = { mm: left.mm, vpn: left.vpn };
  add(`VMA of ${address(left.vpn)}`, left.vma, right.vma, at);
  for (const level of left.levels) {
    const other = right.levels.find((one) => one.level === level.level);
    // Which frames and tables are taken is chance; what an entry grants is not.
    const bits = (of: typeof level | undefined): string =>
      of === undefined
        ? "no table"
        : of.bits
            .filter(({ set }) => set)
            .map(({ name }) => name)
            .join(" ") || "none";
    add(`${level.level} of ${address(left.vpn)}`, bits(level), bits(other), at);
  }
  for (const { name, words } of left.mirrors) {
    const access = (text: string): string => text.replace(/ → .*/, "");
    add(`${name} at ${address(left.vpn)}`, access(words), access(right.mirrors.find((one) => one.name === name)?.words ?? "no mirror"), at);
  }
}

/** The kind of a cell of another machine at the same place; null where it has no such cell. */
export function kindsAt(space: SpaceView | null): (vpn: number, span: number) => Kind | null {
  if (space === null) return () => null;
  const cells = cellsOf(space);
  return (vpn, span) => cells.get(vpn * 2 + (span === 1 ? 1 : 0))?.kind ?? null;
}
