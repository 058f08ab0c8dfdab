import type { Kernel, MaySleep, RmapOne, UserPatch } from "@faultline/kernel";

/** Reclaim and migration walk to mappings that munmap() takes away. */
const patch: UserPatch = {
  name: "anon-vma-lock",
  title: "the anon_vma lock of a reverse walk",
  apply: () => ({
    rmap: {
      *rmapWalkAnon(k: Kernel, folio: number, one: RmapOne): MaySleep<void> {
        const { memmap, anonVmas } = k.m;
        const anonVma = memmap.isAnon(folio) ? anonVmas.get(memmap.mapping[folio]! >> 1) : undefined;
        for (const vma of [...(anonVma?.vmas ?? [])]) {
          const vpn = vma.startVpn + (memmap.index[folio]! - vma.pgoff);
          if (vpn + memmap.folioPages(folio) <= vma.startVpn || vpn >= vma.endVpn) continue;
          if (!(yield* one(k, folio, vma, vpn))) break;
        }
      },
    },
  }),
};
export default patch;
