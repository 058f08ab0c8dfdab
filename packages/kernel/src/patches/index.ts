import type { OverlayFactory } from "../kernel.js";
import { ANON_PGOFF_2026 } from "./anon_pgoff_2026.js";
import { DEVICE_EXCLUSIVE_2025 } from "./device_exclusive_2025.js";
import { DEVICE_PRIVATE_TRYLOCK_2025, DEVICE_PRIVATE_WAIT_2026 } from "./device_private_fault_2025.js";
import { DEVICE_PRIVATE_THP_2025 } from "./device_private_thp_2025.js";
import { KHUGEPAGED_LAZYFREE_2026, KHUGEPAGED_MTHP_2026, KHUGEPAGED_PMD_NONE_2025 } from "./khugepaged_2026.js";
import { HMM_DMA_MAP_2025 } from "./hmm_dma_map_2025.js";
import { HMM_FAULT_UNLOCKED_2026 } from "./hmm_fault_unlocked_2026.js";
import { LARGE_FOLIO_OWNERS_2025 } from "./large_folio_owners_2025.js";
import { PAGEMAP_EXCLUSIVE_2024, SMAPS_MAYBE_SHARED_2024 } from "./pagemap_exclusive_2024.js";
import { EXCLUSIVE_FAULT_REF_2023 } from "./exclusive_fault_ref_2023.js";
import { GUP_FLAGS_2023 } from "./gup_flags_2023.js";
import { GUP_NOT_IMPLICIT_2023, PROTNONE_2023 } from "./protnone_2023.js";
import type { Patch } from "./patch.js";
import { PER_VMA_LOCKS_2023 } from "./per_vma_locks_2023.js";
import { RISCV_FAST_GUP_2024 } from "./riscv_fast_gup_2024.js";
import { RISCV_TLB_BATCH_2024 } from "./riscv_tlb_batch_2024.js";
import { INVALIDATE_SECONDARY_TLBS_2023, RISCV_SECONDARY_TLBS_2025 } from "./secondary_tlbs.js";
import { UPROBE_UNAPPLY_LOCKED_2025, UPROBE_WRITE_IN_PLACE_2025 } from "./uprobes_2025.js";
import { SPLIT_ZEROPAGE_2024 } from "./split_zeropage_2024.js";

export type { Patch, PatchStatus, UserPatch } from "./patch.js";

/** Every upstream change that the project knows of, newest first: the order of undoing. */
export const PATCHES: readonly Patch[] = [
  KHUGEPAGED_MTHP_2026,
  KHUGEPAGED_LAZYFREE_2026,
  HMM_FAULT_UNLOCKED_2026,
  DEVICE_PRIVATE_WAIT_2026,
  ANON_PGOFF_2026,
  KHUGEPAGED_PMD_NONE_2025,
  DEVICE_PRIVATE_THP_2025,
  UPROBE_UNAPPLY_LOCKED_2025,
  UPROBE_WRITE_IN_PLACE_2025,
  HMM_DMA_MAP_2025,
  DEVICE_PRIVATE_TRYLOCK_2025,
  ...[...DEVICE_EXCLUSIVE_2025].reverse(),
  LARGE_FOLIO_OWNERS_2025,
  RISCV_SECONDARY_TLBS_2025,
  SPLIT_ZEROPAGE_2024,
  SMAPS_MAYBE_SHARED_2024,
  PAGEMAP_EXCLUSIVE_2024,
  RISCV_FAST_GUP_2024,
  RISCV_TLB_BATCH_2024,
  ...[...PROTNONE_2023].reverse(),
  INVALIDATE_SECONDARY_TLBS_2023,
  PER_VMA_LOCKS_2023,
  GUP_FLAGS_2023,
  EXCLUSIVE_FAULT_REF_2023,
];

/** A kernel by its version: mainline with some patches undone. */
export interface Release {
  readonly name: string;
  readonly title: string;
  readonly without: readonly string[];
}

/** What came after 6.18, and after 6.14. */
const SINCE_2026: readonly Patch[] = [
  KHUGEPAGED_MTHP_2026,
  KHUGEPAGED_LAZYFREE_2026,
  HMM_FAULT_UNLOCKED_2026,
  DEVICE_PRIVATE_WAIT_2026,
  ANON_PGOFF_2026,
  KHUGEPAGED_PMD_NONE_2025,
  DEVICE_PRIVATE_THP_2025,
];
const SINCE_2025: readonly Patch[] = [...SINCE_2026, UPROBE_UNAPPLY_LOCKED_2025, UPROBE_WRITE_IN_PLACE_2025, HMM_DMA_MAP_2025, DEVICE_PRIVATE_TRYLOCK_2025, ...DEVICE_EXCLUSIVE_2025, LARGE_FOLIO_OWNERS_2025, RISCV_SECONDARY_TLBS_2025];
/** Which long-term kernels have got as well, among them the one that is 6.14's measure. */
const IN_STABLE = ["gup-split-pmd-hugetlb"];
const namesOf = (patches: readonly Patch[]): string[] => patches.filter((p) => p.status === "modelled").map((p) => p.name);
const BEFORE_2026 = namesOf(SINCE_2026);
const BEFORE_2025 = namesOf(SINCE_2025).filter((name) => !IN_STABLE.includes(name));

export const RELEASES: readonly Release[] = [
  { name: "7.3", title: "mainline: as Debian's 7.3.4 behaves", without: [] },
  { name: "6.18", title: "the long-term kernel of 2025: what difftest compares with on such a host", without: BEFORE_2026 },
  { name: "6.14", title: "the last one before the device-exclusive series of 2025", without: BEFORE_2025 },
  {
    name: "6.1",
    title: "the long-term kernel, as Debian's 6.1.192 behaves",
    without: [...BEFORE_2025, SPLIT_ZEROPAGE_2024.name, SMAPS_MAYBE_SHARED_2024.name, PAGEMAP_EXCLUSIVE_2024.name, RISCV_FAST_GUP_2024.name, RISCV_TLB_BATCH_2024.name, GUP_NOT_IMPLICIT_2023.name, INVALIDATE_SECONDARY_TLBS_2023.name, PER_VMA_LOCKS_2023.name, GUP_FLAGS_2023.name],
  },
];

/** The newest release. */
export const DEFAULT_RELEASE = "7.3";

/** The overlays that make a release without some more patches, or what is wrong with the wish. */
export function resolvePatches(wish: {
  readonly release: string;
  readonly without: readonly string[];
}): readonly OverlayFactory[] | string {
  const release = RELEASES.find((r) => r.name === wish.release);
  if (release === undefined) {
    return `unknown release '${wish.release}': there are ${RELEASES.map((r) => r.name).join(", ")}`;
  }
  for (const name of wish.without) {
    const patch = PATCHES.find((p) => p.name === name);
    if (patch === undefined) return `unknown patch '${name}': see 'faultline patches'`;
    if (patch.undo === undefined) return `patch '${name}' changes nothing that could be undone: ${patch.note ?? patch.title}`;
  }
  const gone = new Set([...release.without, ...wish.without]);
  for (const patch of PATCHES) {
    const missing = gone.has(patch.name) ? patch.neededBy?.find((name) => !gone.has(name)) : undefined;
    if (missing !== undefined) {
      return `patch '${patch.name}' cannot go alone: '${missing}' builds on it; add --without ${missing}`;
    }
  }
  return PATCHES.flatMap((p) => (gone.has(p.name) && p.undo !== undefined ? [p.undo] : []));
}
