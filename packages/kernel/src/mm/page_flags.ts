import type { Kernel } from "../kernel.js";
import { PG } from "./page.js";
import { ZONE_DEVICE } from "./zone.js";

/** Where the zone stands in the flags word, and above it the node. */
const ZONE_SHIFT = 60n;
const NODE_SHIFT = 62n;

/**
 * Page flags with their bits in Linux and the names that the kernel log has for them, in the order
 * of the bits.
 */
const PAGEFLAGS: readonly (readonly [flag: PG, bit: number, name: string])[] = [
  [PG.locked, 0, "locked"],
  [PG.writeback, 1, "writeback"],
  [PG.referenced, 2, "referenced"],
  [PG.uptodate, 3, "uptodate"],
  [PG.dirty, 4, "dirty"],
  [PG.lru, 5, "lru"],
  [PG.waiters, 7, "waiters"],
  [PG.active, 8, "active"],
  [PG.workingset, 9, "workingset"],
  // Bits that mean one thing or another, under their common names.
  [PG.swapcache, 10, "owner_priv_1"],
  [PG.anonExclusive, 11, "owner_2"],
  [PG.reserved, 13, "reserved"],
  [PG.reclaim, 16, "reclaim"],
  [PG.swapbacked, 17, "swapbacked"],
  [PG.unevictable, 18, "unevictable"],
  [PG.mlocked, 19, "mlocked"],
  [PG.hwpoison, 20, "hwpoison"],
  [PG.young, 21, "young"],
  [PG.idle, 22, "idle"],
];

/** The flags word of a folio as Linux would have it. */
export function pageFlagsWord(k: Kernel, folio: number): bigint {
  const { memmap, zones } = k.m;
  let word = 0n;
  for (const [flag, bit] of PAGEFLAGS) if (memmap.has(folio, flag)) word |= 1n << BigInt(bit);
  const zone = memmap.isZoneDevice(folio) ? ZONE_DEVICE : zones.isOnline(folio) ? zones.zoneOf(folio).id : 0;
  return word | (BigInt(zone) << ZONE_SHIFT) | (BigInt(k.m.nodes.of(folio) & 3) << NODE_SHIFT);
}

/** What %pGp prints between the parentheses. */
export function pageflagNames(k: Kernel, folio: number, word: bigint): string[] {
  const { memmap } = k.m;
  const names = PAGEFLAGS.filter(([flag]) => memmap.has(folio, flag)).map(([, , name]) => name);
  names.push(`node=${k.m.nodes.of(folio)}`, `zone=${(word >> ZONE_SHIFT) & 3n}`);
  return names;
}
