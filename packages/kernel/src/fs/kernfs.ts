import type { DirEntry } from "./vfs.js";

/** What Linux multiplies by to spread 64 bits over a table (GOLDEN_RATIO_64). */
const GOLDEN_RATIO = 0x61c8_8646_80b5_83ebn;
const MASK = 2n ** 64n - 1n;
const INT_MAX = 0x7fff_ffff;

/** The place of a name in its directory: small numbers and the largest are for "." and "..", and the end. */
export function kernfsNameHash(name: string): number {
  let hash = 0n;
  for (let i = 0; i < name.length; i++) {
    const c = BigInt(name.charCodeAt(i));
    hash = ((hash + (c << 4n) + (c >> 4n)) * 11n) & MASK;
  }
  const place = Number(((hash * GOLDEN_RATIO) & MASK) >> 32n) & INT_MAX;
  if (place < 2) return place + 2;
  return place === INT_MAX ? INT_MAX - 1 : place;
}

/** A directory of sysfs or cgroup2 as it is listed: not as it came to be, nor by name, but by what names hash to. */
export function kernfsOrder(entries: readonly DirEntry[]): DirEntry[] {
  const placed = entries.map((entry) => ({ entry, place: kernfsNameHash(entry.name) }));
  placed.sort((a, b) => a.place - b.place || (a.entry.name < b.entry.name ? -1 : 1));
  return placed.map(({ entry }) => entry);
}
