import { ZoneId } from "./zone.js";

/** Why and how a page may be allocated: the bits of Linux's gfp_t that mean something here, or show in the log. */
export enum Gfp {
  HIGHMEM = 1 << 1,
  /** May be moved elsewhere later on, and so may lie in ZONE_MOVABLE. */
  MOVABLE = 1 << 3,
  IO = 1 << 6,
  FS = 1 << 7,
  /** Fill with zeros. */
  ZERO = 1 << 8,
  /** May reclaim and sleep. */
  DIRECT_RECLAIM = 1 << 10,
  /** Wakes kswapd when memory is low. */
  KSWAPD_RECLAIM = 1 << 11,
  NOWARN = 1 << 13,
  /** Tries hard, and fails rather than call the OOM killer. */
  RETRY_MAYFAIL = 1 << 14,
  /** Fails rather than try hard, or call the OOM killer. */
  NORETRY = 1 << 16,
  /** May use the reserves below the minimum watermark. */
  MEMALLOC = 1 << 17,
  /** A folio, of whatever order. */
  COMP = 1 << 18,
  NOMEMALLOC = 1 << 19,
  HARDWALL = 1 << 20,
  /** Charged to a cgroup as kernel memory. */
  ACCOUNT = 1 << 22,
}

export const GFP_KERNEL = Gfp.DIRECT_RECLAIM | Gfp.KSWAPD_RECLAIM | Gfp.IO | Gfp.FS;
export const GFP_USER = GFP_KERNEL | Gfp.HARDWALL;
export const GFP_HIGHUSER = GFP_USER | Gfp.HIGHMEM;
export const GFP_HIGHUSER_MOVABLE = GFP_HIGHUSER | Gfp.MOVABLE;
/** For a folio of a program, to be filled by who asks for it, and one filled with zeros. */
export const GFP_ANON_FOLIO = GFP_HIGHUSER_MOVABLE | Gfp.COMP;
export const GFP_ZEROED_FOLIO = GFP_ANON_FOLIO | Gfp.ZERO;
/** For the new home of a folio that moves. */
export const GFP_MIGRATE = GFP_KERNEL | Gfp.MOVABLE | Gfp.HIGHMEM | Gfp.RETRY_MAYFAIL | Gfp.COMP;
/** A large folio if one is at hand: neither reclaims nor wakes kswapd. */
export const GFP_TRANSHUGE_LIGHT =
  (GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOMEMALLOC | Gfp.NOWARN) & ~(Gfp.DIRECT_RECLAIM | Gfp.KSWAPD_RECLAIM);
/** A large folio worth some reclaim, but not the OOM killer. */
export const GFP_TRANSHUGE = GFP_TRANSHUGE_LIGHT | Gfp.DIRECT_RECLAIM;
/** For the huge page of zeros, which stays where it is. */
export const GFP_HUGE_ZERO = (GFP_TRANSHUGE | Gfp.ZERO) & ~Gfp.MOVABLE;

/** The highest zone that an allocation may have. */
export function gfpZone(gfp: number): ZoneId {
  return (gfp & Gfp.MOVABLE) !== 0 ? ZoneId.Movable : ZoneId.Normal;
}

/** Names of combinations, the most telling first. */
const COMBINATIONS: readonly (readonly [name: string, mask: number])[] = [
  ["GFP_TRANSHUGE", GFP_TRANSHUGE],
  ["GFP_TRANSHUGE_LIGHT", GFP_TRANSHUGE_LIGHT],
  ["GFP_HIGHUSER_MOVABLE", GFP_HIGHUSER_MOVABLE],
  ["GFP_HIGHUSER", GFP_HIGHUSER],
  ["GFP_USER", GFP_USER],
  ["GFP_KERNEL_ACCOUNT", GFP_KERNEL | Gfp.ACCOUNT],
  ["GFP_KERNEL", GFP_KERNEL],
];

/** What %pGg prints: a combination if one fits, and the bits that are left. */
export function gfpText(gfp: number): string {
  const names: string[] = [];
  let left = gfp;
  const combination = COMBINATIONS.find(([, mask]) => (gfp & mask) === mask);
  if (combination !== undefined) {
    names.push(combination[0]);
    left &= ~combination[1];
  }
  for (let bit = 0; bit < 31; bit++) if ((left & (1 << bit)) !== 0) names.push(`__GFP_${Gfp[1 << bit] ?? String(bit)}`);
  return names.join("|");
}
