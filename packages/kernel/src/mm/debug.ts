/**
 * @linux mm/debug.c
 * @omits `dump_vma()`, `dump_mm()`, and hashed pointers: addresses are those that the machine's layout would have.
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { pageFlagsWord, pageflagNames } from "./page_flags.js";

/** Where the kernel has the memmap, for addresses in the log: Sv39's vmemmap, and the linear map. */
const VMEMMAP = 0xffffffc700000000n;
const LINEAR_MAP = 0xffffffd600000000n;
const STRUCT_PAGE_BYTES = 64n;
const LIST_POISON1 = 0xdead000000000100n;
const LIST_POISON2 = 0xdead000000000122n;

const hex16 = (n: bigint): string => n.toString(16).padStart(16, "0");

/** The address of something that the engine keeps by a number: stable, and of the kernel's linear map. */
function objectAddress(kind: number, id: number): bigint {
  return LINEAR_MAP + (BigInt(kind) << 28n) + BigInt(id) * 0x1000n;
}

const MEMCG_OBJECTS = 1;
const ANON_VMA_OBJECTS = 2;
const STABLE_NODE_OBJECTS = 3;

/**
 * Writes everything about a page to the kernel log, and where it was allocated if page owners are
 * kept. The raw lines are the words of struct page: flags, LRU links, mapping, index, private,
 * counts, cgroup.
 */
export function* dumpPage(k: Kernel, page: number, reason: string): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  const { memmap, dmesg } = m;
  const folio = memmap.folioOf(page);
  const anon = memmap.isAnon(folio);
  const mapcount = memmap.pageMapcount(page);
  const index = memmap.index[folio]! + (page - folio);
  // An anonymous folio has no address space, unless it is the swap cache's, which has none either.
  dmesg.print(
    `page: refcount:${memmap.refcount[folio]} mapcount:${mapcount} mapping:0000000000000000 ` +
      `index:0x${index.toString(16)} pfn:0x${memmap.pageToPfn(page).toString(16)}`,
  );
  if (memmap.isLarge(folio)) {
    dmesg.print(
      `head: order:${memmap.order[folio]} mapcount:${memmap.folioMapcount(folio)} ` +
        `entire_mapcount:${memmap.entireMapcount(folio)} nr_pages_mapped:${memmap.folioMapcount(folio)} pincount:${memmap.pincount[folio]}`,
    );
  }
  const memcg = memmap.memcg[folio]!;
  const memcgData = memcg === 0 ? 0n : objectAddress(MEMCG_OBJECTS, memcg);
  if (memcg !== 0) dmesg.print(`memcg:${memcgData.toString(16)}`);
  const flags = pageFlagsWord(k, folio);
  dmesg.print(`${memmap.isKsm(folio) ? "ksm " : anon ? "anon " : ""}flags: 0x${flags.toString(16)}(${pageflagNames(k, folio, flags).join("|")})`);
  const link = (to: number, poison: bigint): bigint => (to < 0 ? poison : VMEMMAP + BigInt(to) * STRUCT_PAGE_BYTES + 8n);
  const mapping = memmap.isKsm(folio)
    ? objectAddress(STABLE_NODE_OBJECTS, memmap.ksmNode(folio)) + 3n
    : anon
      ? objectAddress(ANON_VMA_OBJECTS, memmap.mapping[folio]! >> 1) + 1n
      : 0n;
  const counts = (BigInt(memmap.refcount[folio]!) << 32n) | (BigInt(mapcount - 1) & 0xffffffffn);
  const words = [
    flags,
    link(memmap.lruNext[folio]!, LIST_POISON1),
    link(memmap.lruPrev[folio]!, LIST_POISON2),
    mapping,
    BigInt(index),
    BigInt(memmap.private[folio]!),
    counts,
    memcgData,
  ].map(hex16);
  dmesg.print(`raw: ${words.slice(0, 4).join(" ")}`);
  dmesg.print(`raw: ${words.slice(4).join(" ")}`);
  dmesg.print(`page dumped because: ${reason}`);
  m.pageOwner?.dump(page);
}
