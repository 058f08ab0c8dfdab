import { GUP_PIN_COUNTING_BIAS, MAPPING_ANON, PG } from "@faultline/kernel";
import type { Keyframe } from "@faultline/trace";
import { PageMark, PageUse, SlotUse } from "../core/page_use.js";
import { numbersOf } from "./state.js";

/** An order that a memmap can have: a damaged one is no reason to look further. */
const ORDER_MAX = 18;

export interface Columns {
  readonly refcount: Int32Array;
  readonly mapcount: Int32Array;
  readonly flags: Int32Array;
  readonly mapping: Int32Array;
  readonly index: Float64Array;
  readonly private: Int32Array;
  readonly memcg: Uint16Array;
  readonly order: Uint8Array;
  readonly head: Int32Array;
}

/** The memmap of a keyframe. */
export function columnsOf({ tables }: Keyframe): Columns {
  const ints = (name: string): Int32Array => numbersOf(tables.get(`memmap.${name}`), Int32Array);
  return {
    refcount: ints("refcount"),
    mapcount: ints("mapcount"),
    flags: ints("flags"),
    mapping: ints("mapping"),
    index: numbersOf(tables.get("memmap.index"), Float64Array),
    private: ints("private"),
    memcg: numbersOf(tables.get("memmap.memcg"), Uint16Array),
    order: numbersOf(tables.get("memmap.order"), Uint8Array),
    head: ints("head"),
  };
}

/** The first page of the folio that a page is of, and the folio's order. */
export function folioOf({ flags, head, order }: Columns, page: number): { readonly first: number; readonly order: number } {
  const first = (flags[page]! & PG.tail) !== 0 ? head[page]! : page;
  const own = Math.min(order[first] ?? 0, ORDER_MAX);
  return first >= 0 && page < first + 2 ** own ? { first, order: own } : { first: page, order: 0 };
}

export interface Uses {
  readonly uses: Uint8Array;
  readonly marks: Uint8Array;
}

const known = new WeakMap<Keyframe, Uses>();

/** What each page of a keyframe is used for (`PageUse`), and what else is to be said of it (`PageMark`). */
export function usesOf(keyframe: Keyframe): Uses {
  let uses = known.get(keyframe);
  if (uses === undefined) known.set(keyframe, (uses = lookedAt(keyframe)));
  return uses;
}

function lookedAt(keyframe: Keyframe): Uses {
  const columns = columnsOf(keyframe);
  const { flags, refcount, mapping, order, private: own } = columns;
  const n = flags.length;
  const uses = new Uint8Array(n).fill(PageUse.Kernel);
  const marks = new Uint8Array(n);
  const pinned = pinsOf(keyframe);
  const devices = devicesOf(keyframe);
  for (let page = 0; page < n; ) {
    const bits = flags[page]!;
    if ((bits & PG.buddy) !== 0) {
      const end = Math.min(n, page + 2 ** Math.min(Math.max(0, own[page]!), ORDER_MAX));
      uses.fill(PageUse.Free, page, end);
      page = end;
      continue;
    }
    const { first } = folioOf(columns, page);
    const device = page >= devices.from;
    uses[page] = device ? (refcount[first]! === 0 ? PageUse.DeviceFree : page >= devices.private ? PageUse.DevicePrivate : PageUse.DeviceCoherent) : useOf(bits, flags[first]!, refcount[first]!, mapping[first]!, page, keyframe);
    const large = first !== page ? PageMark.Tail : order[page]! > 0 ? PageMark.Head : 0;
    const bias = large === 0 && refcount[page]! >= GUP_PIN_COUNTING_BIAS && uses[page] !== PageUse.Reserved;
    marks[page] =
      large |
      (pinned.has(first) || bias ? PageMark.Pinned : 0) |
      ((flags[first]! & PG.locked) !== 0 ? PageMark.Locked : 0) |
      ((flags[first]! & PG.dirty) !== 0 ? PageMark.Dirty : 0) |
      ((flags[first]! & PG.writeback) !== 0 ? PageMark.Writeback : 0);
    page++;
  }
  for (const page of numbersOf(keyframe.tables.get("pcp"), Uint32Array)) if (page < n) uses[page] = PageUse.PerCpu;
  for (const { state, page, pages } of keyframe.physical?.blocks ?? []) if (state === "offline") uses.fill(PageUse.Offline, Math.max(0, page), Math.max(0, page + pages));
  return { uses, marks };
}

function useOf(own: number, bits: number, refcount: number, mapping: number, page: number, { memory, physical }: Keyframe): PageUse {
  if ((own & PG.hwpoison) !== 0) return PageUse.Poison;
  if (page === memory.zeroPage) return PageUse.ZeroPage;
  if ((bits & PG.reserved) !== 0) return PageUse.Reserved;
  if ((bits & PG.table) !== 0) return PageUse.PageTable;
  if ((bits & PG.hugetlb) !== 0) return PageUse.Hugetlb;
  if (physical !== null && physical.hugeZero >= 0 && page >= physical.hugeZero && page < physical.hugeZero + 512) return PageUse.ZeroPage;
  if ((mapping & MAPPING_ANON) !== 0 || (bits & PG.swapcache) !== 0) return PageUse.Anon;
  if (mapping !== 0) return (bits & PG.swapbacked) !== 0 ? PageUse.Shmem : PageUse.File;
  // Without the table of CPUs' lists that is all there is to see of one; else it is on its way to a list, or from there.
  return refcount === 0 && physical === null ? PageUse.PerCpu : PageUse.Kernel;
}

/** Pins of large folios; empty where a recording has none of them. */
export function pinsOf({ tables }: Keyframe): Map<number, number> {
  const pairs = numbersOf(tables.get("pins"), Uint32Array);
  const pins = new Map<number, number>();
  for (let i = 0; i + 1 < pairs.length; i += 2) pins.set(pairs[i]!, pairs[i + 1]!);
  return pins;
}

/** Where pages of devices begin, and those among them that no CPU can address. */
function devicesOf({ memory }: Keyframe): { readonly from: number; readonly private: number } {
  const start = (kind: string): number => memory.sections.find((section) => section.kind === kind)?.page ?? Infinity;
  return { from: Math.min(start("coherent"), start("private")), private: start("private") };
}

/** What each slot of the swap device holds. */
export function slotsOf(keyframe: Keyframe): Uint8Array {
  const counts = keyframe.tables.get("swap.count") ?? new Uint8Array();
  const uses = Uint8Array.from(counts, (count) => (count > 0 ? SlotUse.Anon : SlotUse.Free));
  const files = numbersOf(keyframe.tables.get("swap.files"), Uint32Array);
  for (let i = 0; i + 2 < files.length; i += 3) if (files[i]! < uses.length) uses[files[i]!] = SlotUse.Shmem;
  const columns = columnsOf(keyframe);
  for (let page = 0; page < columns.flags.length; page++) {
    if ((columns.flags[page]! & PG.swapcache) === 0) continue;
    const { order } = folioOf(columns, page);
    for (let i = 0; i < 2 ** order; i++) if (columns.private[page]! + i < uses.length) uses[columns.private[page]! + i] = SlotUse.Cached;
  }
  if (uses.length > 0) uses[0] = SlotUse.Header;
  return uses;
}
