import { NO_PAGE, PG, PTE, ptePresent, type DeviceMirror, type Kernel, type Mm } from "@faultline/kernel";
import type { LockHolders } from "./holders.js";
import type { About } from "./violation.js";

const PTRS = 512;
const USER_ROOT_ENTRIES = 256;
const PAGE_SHIFT = 12;

/** A page-table entry. */
export interface EntryState {
  /** The address that it is for, and the mm's id. */
  readonly address: string;
  readonly mm: number;
  readonly kind: "none" | "present" | "device-private" | "device-exclusive" | "migration" | "swap";
  /** "read", "write", "exec", "accessed", "dirty", "huge" (2 MiB) and their like. */
  readonly flags: readonly string[];
  /** Null where the entry names no frame. */
  readonly pfn: number | null;
  readonly frame: number | null;
  /** Of the swap space. */
  readonly slot: number | null;
}

/** What a frame is part of. */
export interface FolioState {
  /** The frame in question, and the first one of its folio. */
  readonly frame: number;
  readonly folio: number;
  readonly pages: number;
  readonly free: boolean;
  readonly refcount: number;
  readonly mapcount: number;
  readonly flags: readonly string[];
  /** Who has the folio lock, as "thread (executor)"; null when it is not locked, or nobody knows. */
  readonly lockedBy: string | null;
  /** References that no page table, cache or batch accounts for: "thread: site" of each. */
  readonly holders: readonly string[];
}

export interface DeviceState {
  readonly device: string;
  /** The sequence of its interval notifier. */
  readonly sequence: number;
  /** What it maps the page, or the frame, with; null for nothing. */
  readonly frame: number | null;
  readonly access: "read" | "write" | "exclusive" | null;
}

export interface NotifierState {
  readonly mm: number;
  /** Odd while an invalidation runs. */
  readonly sequence: number;
  readonly invalidations: number;
  /** Who invalidates: "thread (executor)" of each. */
  readonly by: readonly string[];
}

export interface TlbState {
  readonly cpu: string;
  readonly address: string;
  readonly frame: number;
  readonly access: string;
}

/** A page at one moment, from all sides. */
export interface PageState {
  readonly entry: EntryState | null;
  readonly folio: FolioState | null;
  readonly devices: readonly DeviceState[];
  readonly notifier: NotifierState | null;
  readonly tlb: readonly TlbState[];
}

/** What has become of a page. */
export interface StateChange {
  /** Ahead of `step`; as `after` where it has never been different. */
  readonly before: PageState;
  /** When the rule was seen to be broken. */
  readonly after: PageState;
  /**
   * The step that showed it, announced ahead of what others did in between; or the last one that
   * changed anything. An index into the trace; null where none did.
   */
  readonly step: number | null;
}

/** Looks at what a finding is about; where only half of it is known, the machine tells the rest, and it is remembered. */
export class StateWatch {
  private mm: Mm | null = null;
  private vpn: number;
  private page: number;

  constructor(
    private readonly k: Kernel,
    private readonly mirrors: readonly DeviceMirror[],
    private readonly about: About,
    private readonly holders: LockHolders,
  ) {
    this.vpn = about.vpn ?? -1;
    this.page = about.page ?? NO_PAGE;
  }

  look(): PageState {
    const { mms } = this.k.m;
    if (this.about.mm !== undefined) this.mm ??= [...mms].find(({ id }) => id === this.about.mm) ?? null;
    if (this.vpn < 0 && this.page !== NO_PAGE) this.findEntry();
    if (this.vpn < 0 && this.page === NO_PAGE && this.mm !== null) this.vpn = this.holders.vpnInvalidated(this.mm.id);
    const entry = this.mm === null || this.vpn < 0 ? null : this.entry(this.mm, this.vpn);
    if (this.page === NO_PAGE && entry !== null && entry.frame !== null) this.page = entry.frame;
    return {
      entry,
      folio: this.page === NO_PAGE ? null : this.folio(this.page),
      devices: this.mirrors.map((mirror) => this.device(mirror)),
      notifier: this.mm === null ? null : this.notifier(this.mm),
      tlb: this.tlbs(),
    };
  }

  private entry(mm: Mm, vpn: number): EntryState {
    const { m, swapops } = this.k;
    const ptep = mm.pgd < 0 ? -1 : m.pt.find(mm.pgd, vpn);
    const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
    const present = ptePresent(flags);
    const kind = present
      ? "present"
      : swapops.isDevicePrivate(this.k, flags)
        ? "device-private"
        : swapops.isDeviceExclusive(this.k, flags)
        ? "device-exclusive"
        : swapops.isMigration(this.k, flags)
          ? "migration"
          : swapops.isSwapEntry(this.k, flags)
            ? "swap"
            : "none";
    const names = kind === "none" || kind === "swap" ? null : m.pt.pfnFor(ptep, vpn);
    const frame = names === null ? NO_PAGE : m.memmap.pfnToPage(names);
    return {
      address: addressOf(vpn),
      mm: mm.id,
      kind,
      flags: [...flagsOf(flags), ...(present && m.pt.isHuge(ptep) ? ["huge"] : [])],
      pfn: names,
      frame: frame === NO_PAGE ? null : frame,
      slot: kind === "swap" ? m.pt.pfn(ptep) : null,
    };
  }

  private folio(page: number): FolioState {
    const { memmap, refs } = this.k.m;
    const folio = memmap.folioOf(page);
    return {
      frame: page,
      folio,
      pages: memmap.folioPages(folio),
      free: memmap.refcount[folio] === 0,
      refcount: memmap.refcount[folio]!,
      mapcount: memmap.folioMapcount(folio),
      flags: FOLIO_FLAGS.filter((flag) => memmap.has(folio, flag)).map((flag) => PG[flag]),
      lockedBy: this.holders.of("folio_lock", folio)[0] ?? null,
      // "task#id:site"
      holders: (refs?.holders(folio) ?? []).map((holder) => holder.replace(/#\d+:/, ": ")),
    };
  }

  private device({ device, notifier, table }: DeviceMirror): DeviceState {
    let found = this.vpn < 0 ? undefined : table.get(this.vpn);
    if (this.vpn < 0 && this.page !== NO_PAGE) for (const [, entry] of table) if (entry.page === this.page) found = entry;
    return {
      device: device.name,
      sequence: notifier.invalidateSeq,
      frame: found?.page ?? null,
      access: found === undefined ? null : found.atomic ? "exclusive" : found.write ? "write" : "read",
    };
  }

  private notifier(mm: Mm): NotifierState {
    return { mm: mm.id, sequence: mm.invalidateSeq, invalidations: mm.activeInvalidations, by: this.holders.invalidating(mm.id) };
  }

  private tlbs(): TlbState[] {
    return this.k.m.sched.executors.flatMap(({ name, isDevice, tlb }): TlbState[] => {
      if (isDevice) return [];
      const cached: TlbState[] = [];
      for (let slot = 0; slot < tlb.entries; slot++) {
        const tags: readonly (readonly [string, number])[] = [
          ["r", tlb.readTag[slot]!],
          ["w", tlb.writeTag[slot]!],
          ["x", tlb.execTag[slot]!],
        ];
        const vpn = Math.max(...tags.map(([, tag]) => tag));
        if (vpn < 0 || (vpn !== this.vpn && tlb.frame[slot] !== this.page)) continue;
        const access = tags.map(([letter, tag]) => (tag === vpn ? letter : "")).join("");
        cached.push({ cpu: name, address: addressOf(vpn), frame: tlb.frame[slot]!, access });
      }
      return cached;
    });
  }

  /** Where a page is mapped, or what stands in for that. */
  private findEntry(): void {
    const { pt, memmap } = this.k.m;
    const pfn = memmap.pageToPfn(this.page);
    for (const mm of this.k.m.mms) {
      if (mm.pgd < 0) continue;
      const found = (node: number, level: number, base: number): number => {
        const end = level === 2 ? USER_ROOT_ENTRIES : PTRS;
        const span = PTRS ** level;
        for (let i = pt.nextUsed(node, 0); i < end; i = pt.nextUsed(node, i + 1)) {
          const entry = node * PTRS + i;
          const vpn = base + i * span;
          if (level > 0 && !pt.isLeaf(entry)) {
            const below = found(pt.child(entry), level - 1, vpn);
            if (below >= 0) return below;
          } else if (this.namesPage(pt.flags(entry)) && pfn >= pt.pfn(entry) && pfn < pt.pfn(entry) + span) return vpn + (pfn - pt.pfn(entry));
        }
        return -1;
      };
      const vpn = found(mm.pgd, 2, 0);
      if (vpn < 0) continue;
      this.vpn = vpn;
      this.mm = mm;
      return;
    }
  }

  private namesPage(flags: number): boolean {
    const { swapops } = this.k;
    return ptePresent(flags) || swapops.holdsMapping(this.k, flags) || swapops.isMigration(this.k, flags);
  }
}

/** Flags of folios that mean something to a reader, in the order of their bits. */
const FOLIO_FLAGS: readonly PG[] = Object.values(PG).filter((flag): flag is PG => typeof flag === "number");

const PRESENT_FLAGS: readonly (readonly [PTE, string])[] = [
  [PTE.R, "read"],
  [PTE.W, "write"],
  [PTE.X, "exec"],
  [PTE.A, "accessed"],
  [PTE.D, "dirty"],
  [PTE.SPECIAL, "special"],
  [PTE.PROT_NONE, "prot-none"],
];
const SWAP_FLAGS: readonly (readonly [PTE, string])[] = [
  [PTE.SWP_EXCLUSIVE, "anon-exclusive"],
  [PTE.SWP_MIG_YOUNG, "accessed"],
  [PTE.SWP_MIG_DIRTY, "dirty"],
];

function flagsOf(flags: number): string[] {
  return (ptePresent(flags) ? PRESENT_FLAGS : SWAP_FLAGS).filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name);
}

function addressOf(vpn: number): string {
  return `0x${(vpn * 2 ** PAGE_SHIFT).toString(16)}`;
}
