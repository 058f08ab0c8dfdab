import { PTE, PTRS_PER_TABLE } from "@faultline/kernel";
import type { MmState, VmaState } from "@faultline/trace";
import { address, hex } from "../core/format.js";
import { Kind } from "../core/kinds.js";
import { MirrorBit, type LevelView, type MirrorView, type SpaceList, type SpaceView, type VmaView, type WalkView } from "../core/protocol.js";
import { flagsOf, pageOf, placeOf, rightsOf, type Entries } from "./entries.js";
import type { Overviews } from "./overview.js";
import { columnsOf, folioOf } from "./page_use.js";
import { find, type DevicePage, type Mirror, type State } from "./state.js";

const HUGE = 512;
/** VMAs of more pages are shown by 2 MiB. */
const PAGES_SHOWN_MAX = 1024;
/** VMAs and cells of one answer at most. */
const VMAS_MAX = 512;
const CELLS_MAX = 1 << 17;

/** What is asked about one state. */
export class Spaces {
  constructor(
    private readonly entries: Entries,
    private readonly state: State,
    private readonly overviews: Overviews,
  ) {}

  list(): SpaceList {
    const { mms, tasks, basis } = this.state;
    const spaces = mms
      .filter(({ pgd }) => pgd >= 0)
      .map((mm) => ({
        mm: mm.id,
        tasks: [...new Set(tasks.filter((task) => task.mm === mm.id).map((task) => task.comm))],
        resident: mm.rss.reduce((sum, pages) => sum + pages, 0),
        pages: mm.vmas.reduce((sum, { start, end }) => sum + Math.max(0, end - start), 0),
      }));
    return { basis, spaces };
  }

  /** @param detail a page whose 2 MiB are shown page by page */
  space(id: number, detail: number | null): SpaceView | null {
    const mm = this.mm(id);
    if (mm === undefined) return null;
    let cells = 0;
    const vmas: VmaView[] = [];
    for (const vma of mm.vmas.slice(0, VMAS_MAX)) {
      for (const view of this.partsOf(mm, vma, detail)) {
        cells += view.cells.length;
        if (cells <= CELLS_MAX) vmas.push(view);
      }
    }
    const mirrors = this.state.mirrors.filter((mirror) => mirror.mm === id).map((mirror): MirrorView => ({ name: mirror.name, notifier: mirror.notifier, cells: vmas.map((view) => this.mirrored(mm, mirror, view)) }));
    return { mm: id, basis: this.state.basis, vmas, mirrors };
  }

  walk(id: number, vpn: number): WalkView | null {
    const mm = this.mm(id);
    if (mm === undefined) return null;
    const vma = vmaAt(mm, vpn);
    const { levels, kind, page } = this.levels(mm, vpn, vma);
    const entry = this.entryOf(mm, vpn, vma);
    const mirrors = this.state.mirrors
      .filter((mirror) => mirror.mm === id)
      .map((mirror) => {
        const own = mirror.table.get(vpn);
        const disagrees = own !== undefined && !this.backed(own, entry);
        return { name: mirror.name, words: own === undefined ? "no translation" : this.deviceWords(own), disagrees };
      });
    const text = vma === undefined ? "no VMA" : `${address(vma.start)}–${address(vma.end)} ${rightsOf(vma.flags)} ${vma.name}`;
    return { mm: id, vpn, basis: this.state.basis, kind, vma: text, levels, folio: page < 0 ? null : this.folio(page), mirrors };
  }

  private mm(id: number): MmState | undefined {
    return this.state.mms.find((mm) => mm.id === id && mm.pgd >= 0);
  }

  private *partsOf(mm: MmState, vma: VmaState, detail: number | null): Generator<VmaView> {
    if (!(vma.end > vma.start)) return;
    if (vma.end - vma.start <= PAGES_SHOWN_MAX) {
      yield this.pages(mm, vma, vma.start, vma.end);
      return;
    }
    yield this.overview(mm, vma);
    if (detail === null || detail < vma.start || detail >= vma.end) return;
    const first = detail - (detail % HUGE);
    yield this.pages(mm, vma, Math.max(first, vma.start), Math.min(first + HUGE, vma.end));
  }

  private pages(mm: MmState, vma: VmaState, start: number, end: number): VmaView {
    const cells = new Uint8Array(end - start);
    const filled = new Uint16Array(end - start);
    for (let vpn = start; vpn < end; vpn++) {
      const { kind } = this.entryOf(mm, vpn, vma);
      cells[vpn - start] = kind;
      filled[vpn - start] = kind === Kind.None ? 0 : 1;
    }
    return { ...described(vma), start, end, span: 1, first: start, cells, filled };
  }

  private overview(mm: MmState, vma: VmaState): VmaView {
    const first = vma.start - (vma.start % HUGE);
    const n = Math.min(CELLS_MAX, Math.ceil((vma.end - first) / HUGE));
    const cells = new Uint8Array(n);
    const filled = new Uint16Array(n);
    for (let i = 0; i < n; i++) {
      const summary = this.overviews.summary(this.state, mm.id, mm.pgd, vma, first + i * HUGE);
      cells[i] = summary.kind;
      filled[i] = summary.filled;
    }
    return { ...described(vma), start: vma.start, end: vma.end, span: HUGE, first, cells, filled };
  }

  private mirrored(mm: MmState, { table, notifier }: Mirror, view: VmaView): Uint8Array {
    const cells = new Uint8Array(view.cells.length);
    const vma = vmaAt(mm, view.start);
    const bitsAt = (vpn: number): number => {
      const own = table.get(vpn);
      if (own === undefined) return 0;
      const bits = MirrorBit.Read | (own.write ? MirrorBit.Write : 0) | (own.atomic ? MirrorBit.Atomic : 0);
      return bits | (this.backed(own, this.entryOf(mm, vpn, vma)) ? 0 : MirrorBit.Disagrees);
    };
    for (let i = 0; i < cells.length; i++) {
      const first = view.first + i * view.span;
      if (!table.hasAny(first)) continue;
      if (view.span === 1 || vma === undefined) cells[i] = bitsAt(first);
      else {
        cells[i] = this.overviews.mirrored(this.state, notifier, mm.pgd, vma, first, table.version(first), () => {
          let bits = 0;
          for (const vpn of table.within(Math.max(first, view.start), Math.min(first + view.span, view.end))) bits |= bitsAt(vpn);
          return bits;
        });
      }
    }
    return cells;
  }

  private entryOf(mm: MmState, vpn: number, vma: VmaState | undefined): Entry {
    const { memory } = this.state.keyframe;
    const found = find(this.state.words, mm.pgd, vpn);
    if (found === null || found.flags === 0) return NOTHING;
    const { flags, pfn } = found;
    const page = pageOf(memory, pfn);
    const kind = this.entries.kind(flags, pfn, page, vma?.flags ?? 0, memory);
    return { kind, flags, page: this.entries.namesPage(kind) ? page : -1 };
  }

  private levels(mm: MmState, vpn: number, vma: VmaState | undefined): { readonly levels: readonly LevelView[]; readonly kind: Kind; readonly page: number } {
    const { words, keyframe } = this.state;
    const levels: LevelView[] = [];
    let node = mm.pgd;
    for (let level = 2; level >= 0; level--) {
      const index = (vpn >>> (9 * level)) & 511;
      const entry = node * PTRS_PER_TABLE + index;
      const [pfn, flags] = [words[entry * 2] ?? 0, words[entry * 2 + 1] ?? 0];
      const name = LEVELS[level]!;
      if (level > 0 && flags === PTE.V) {
        levels.push({ level: name, node, index, pfn, flags, words: `points to table ${pfn}`, bits: this.entries.bits(flags) });
        node = pfn;
        continue;
      }
      const page = pageOf(keyframe.memory, pfn);
      const kind = this.entries.kind(flags, pfn, page, vma?.flags ?? 0, keyframe.memory);
      const size = level === 0 || flags === 0 ? "" : level === 1 ? ", 2 MiB" : ", 1 GiB";
      levels.push({ level: name, node, index, pfn, flags, words: this.entries.words(kind, flags, pfn) + size, bits: this.entries.bits(flags) });
      const within = level === 0 ? 0 : vpn & ((1 << (9 * level)) - 1);
      return { levels, kind, page: this.entries.namesPage(kind) && page >= 0 ? page + within : -1 };
    }
    return { levels, kind: Kind.None, page: -1 };
  }

  private folio(page: number): WalkView["folio"] {
    const columns = columnsOf(this.state.keyframe);
    const pfn = placeOf(this.state.keyframe.memory, page)?.pfn;
    if (pfn === undefined || page >= columns.refcount.length) return null;
    const { first, order } = folioOf(columns, page);
    let mapcount = order > 0 ? Math.max(0, columns.private[first + 1] ?? 0) : 0;
    for (let i = first; i < first + 2 ** order; i++) mapcount += columns.mapcount[i] ?? 0;
    return { pfn, order, refcount: columns.refcount[first]!, mapcount };
  }

  /**
   * Whether the CPU's entry grants what a device has; it may lack that only while an invalidation is under way. Of a page
   * that is on its way its driver knows, and a trace does not.
   */
  private backed(own: DevicePage, { kind, flags, page }: Entry): boolean {
    switch (kind) {
      case Kind.Migration:
        return true;
      case Kind.DeviceExclusive:
        return own.atomic && page === own.page;
      case Kind.DevicePrivate:
        // A frame that has the contents of a device's page names it.
        return !own.atomic && (page === own.page || this.state.column("private")[own.page] === page) && (!own.write || this.entries.mayWrite(kind, flags));
      case Kind.Writable:
      case Kind.ReadOnly:
      case Kind.Zero:
      case Kind.DeviceCoherent:
        return !own.atomic && page === own.page && (!own.write || this.entries.mayWrite(kind, flags));
      case Kind.None:
      case Kind.ProtNone:
      case Kind.NumaHint:
      case Kind.Swap:
      case Kind.UffdMarker:
      case Kind.Guard:
      case Kind.Invalid:
      case Kind.Poison:
        return false;
    }
  }

  private deviceWords({ page, write, atomic }: DevicePage): string {
    const place = placeOf(this.state.keyframe.memory, page);
    return `${atomic ? "atomic" : write ? "read, write" : "read"} → pfn ${place === null ? "?" : hex(place.pfn)}`;
  }
}

interface Entry {
  readonly kind: Kind;
  readonly flags: number;
  /** -1 for none. */
  readonly page: number;
}

const NOTHING: Entry = { kind: Kind.None, flags: 0, page: -1 };
const LEVELS = ["PTE", "PMD", "PGD"] as const;

function vmaAt({ vmas }: MmState, vpn: number): VmaState | undefined {
  return vmas.find(({ start, end }) => vpn >= start && vpn < end);
}

function described({ name, flags }: VmaState): { readonly rights: string; readonly name: string; readonly flags: string } {
  return { rights: rightsOf(flags), name, flags: flagsOf(flags) };
}
