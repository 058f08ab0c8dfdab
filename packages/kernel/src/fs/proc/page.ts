import { SWITCH, type Atomic } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { NO_PAGE, PG, RAM_BASE_PFN } from "../../mm/page.js";
import { MAX_PAGE_ORDER } from "../../mm/zone.js";
import { SEEK_CUR, SEEK_SET, type FileOps, type Inode, type OpenFile } from "../vfs.js";
import type { PseudoFs } from "../pseudo.js";

/** Bits of /proc/kpageflags (Documentation/admin-guide/mm/pagemap.rst). */
export enum KPF {
  LOCKED = 0,
  REFERENCED = 2,
  UPTODATE = 3,
  DIRTY = 4,
  LRU = 5,
  ACTIVE = 6,
  WRITEBACK = 8,
  RECLAIM = 9,
  BUDDY = 10,
  MMAP = 11,
  ANON = 12,
  SWAPCACHE = 13,
  SWAPBACKED = 14,
  COMPOUND_HEAD = 15,
  COMPOUND_TAIL = 16,
  HUGE = 17,
  UNEVICTABLE = 18,
  HWPOISON = 19,
  NOPAGE = 20,
  KSM = 21,
  THP = 22,
  ZERO_PAGE = 24,
  IDLE = 25,
  PGTABLE = 26,
  RESERVED = 32,
  MLOCKED = 33,
  OWNER_2 = 34,
  OWNER_PRIVATE = 37,
}

const bit = (kpf: KPF): bigint => 1n << BigInt(kpf);

/** Flags of the folio that show on each of its pages. */
const FOLIO_FLAGS: readonly (readonly [flag: PG, kpf: KPF])[] = [
  [PG.locked, KPF.LOCKED],
  [PG.referenced, KPF.REFERENCED],
  [PG.uptodate, KPF.UPTODATE],
  [PG.dirty, KPF.DIRTY],
  [PG.lru, KPF.LRU],
  [PG.active, KPF.ACTIVE],
  [PG.writeback, KPF.WRITEBACK],
  [PG.reclaim, KPF.RECLAIM],
  [PG.swapcache, KPF.SWAPCACHE],
  // Bits that mean something else for other pages, under their common names.
  [PG.swapcache, KPF.OWNER_PRIVATE],
  [PG.anonExclusive, KPF.OWNER_2],
  [PG.swapbacked, KPF.SWAPBACKED],
  [PG.unevictable, KPF.UNEVICTABLE],
  [PG.mlocked, KPF.MLOCKED],
  [PG.idle, KPF.IDLE],
];

/** The page of a pfn where its memory is online. */
function onlinePage(k: Kernel, pfn: number): number {
  const page = k.m.memmap.pfnToPage(pfn);
  return page !== NO_PAGE && k.m.zones.isOnline(page) ? page : NO_PAGE;
}

function* readPageFlags(k: Kernel, pfn: number): Atomic<bigint> {
  const page = onlinePage(k, pfn);
  if (page !== NO_PAGE && k.m.point(Op.PageFlags, k.m.memmap.folioOf(page))) yield SWITCH;
  return stablePageFlags(k, pfn);
}

/** Whether a page lies in a free block of the allocator, of which the first page alone is marked. */
function isFreeBuddy(k: Kernel, page: number): boolean {
  const { memmap } = k.m;
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
    const head = page & -(1 << order);
    if (memmap.has(head, PG.buddy) && memmap.private[head]! >= order) return true;
  }
  return false;
}

/** What /proc/kpageflags says of a page frame. */
export function stablePageFlags(k: Kernel, pfn: number): bigint {
  const { memmap, thp, zones } = k.m;
  const page = onlinePage(k, pfn);
  if (page === NO_PAGE) return bit(KPF.NOPAGE);
  const folio = memmap.folioOf(page);
  let flags = 0n;
  if (memmap.folioMapcount(folio) > 0) flags |= bit(KPF.MMAP);
  if (memmap.isAnon(folio) && memmap.refcount[folio] !== 0) flags |= bit(KPF.ANON);
  if (memmap.isKsm(folio)) flags |= bit(KPF.KSM);
  if (memmap.isLarge(folio)) {
    flags |= bit(page === folio ? KPF.COMPOUND_HEAD : KPF.COMPOUND_TAIL);
    if (memmap.has(folio, PG.hugetlb)) flags |= bit(KPF.HUGE);
    else flags |= bit(KPF.THP);
  }
  if (page === zones.zeroPage || folio === thp.hugeZeroFolio) flags |= bit(KPF.ZERO_PAGE);
  if (memmap.has(page, PG.reserved)) flags |= bit(KPF.RESERVED);
  if (memmap.has(page, PG.hwpoison)) flags |= bit(KPF.HWPOISON);
  if (memmap.refcount[page] === 0 && isFreeBuddy(k, page)) flags |= bit(KPF.BUDDY);
  if (memmap.has(folio, PG.table)) flags |= bit(KPF.PGTABLE);
  for (const [flag, kpf] of FOLIO_FLAGS) if (memmap.has(folio, flag)) flags |= bit(kpf);
  return flags;
}

/** How often a page is mapped. */
function* readPageCount(k: Kernel, pfn: number): Atomic<bigint> {
  const { memmap } = k.m;
  const page = onlinePage(k, pfn);
  if (page === NO_PAGE) return 0n;
  if (k.m.point(Op.MapCount, memmap.folioOf(page))) yield SWITCH;
  return BigInt(memmap.pageMapcount(page));
}

/** The inode number of the cgroup that a page is charged to; 0 for memory of the kernel's own, and for what is free. */
function* readPageCgroup(k: Kernel, pfn: number): Atomic<bigint> {
  const { memmap } = k.m;
  const page = onlinePage(k, pfn);
  if (page === NO_PAGE) return 0n;
  if (k.m.point(Op.PageFlags, memmap.folioOf(page))) yield SWITCH;
  const folio = memmap.folioOf(page);
  const memcg = memmap.memcg[folio]!;
  // The root takes no charge, and yet has what is anonymous or of a file.
  const owned = memcg !== 0 || (memmap.mapping[folio] !== 0 && memmap.refcount[folio] !== 0);
  return BigInt(owned ? k.m.memcgs.get(memcg).ino : 0);
}

/** A file of one 64-bit number for each pfn, from pfn 0 on. Reads begin and end at whole numbers. */
class KpageFile implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  readonly mode = 0o400;
  readonly size = 0;
  readonly ino: number;
  readonly ops: FileOps;

  constructor(
    readonly fs: PseudoFs,
    value: (k: Kernel, pfn: number) => Atomic<bigint>,
  ) {
    this.ino = fs.allocateIno();
    this.ops = {
      *read(k, _file: OpenFile, into, pos) {
        if (pos % 8 !== 0 || into.length % 8 !== 0) return -Errno.EINVAL;
        const end = RAM_BASE_PFN + k.m.memmap.nrPages;
        const first = pos / 8;
        const count = Math.max(0, Math.min(into.length / 8, end - first));
        const out = new DataView(into.buffer, into.byteOffset, into.byteLength);
        for (let i = 0; i < count; i++) out.setBigUint64(i * 8, yield* value(k, first + i), true);
        yield* k.m.sched.condResched();
        return count * 8;
      },

      *llseek(k, file, offset, whence) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        if (whence !== SEEK_SET && whence !== SEEK_CUR) return -Errno.EINVAL;
        const pos = whence === SEEK_CUR ? file.pos + offset : offset;
        return pos < 0 ? -Errno.EINVAL : pos;
      },
    };
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }
}

/** The files of the directory, by name. */
export function kpageFiles(fs: PseudoFs): readonly (readonly [name: string, file: Inode])[] {
  return [
    ["kpagecount", new KpageFile(fs, readPageCount)],
    ["kpageflags", new KpageFile(fs, readPageFlags)],
    ["kpagecgroup", new KpageFile(fs, readPageCgroup)],
  ];
}
