import type { Device, DeviceMirror } from "@faultline/kernel";

/** The I/O virtual address at which a device's IOMMU maps a frame, or has it cached; null where it does not. */
export function iovaOf({ iommu }: Device, page: number): { readonly iova: number; readonly cached: boolean } | null {
  if (iommu === null) return null;
  for (const [iova, entry] of iommu.table) if (entry.page === page) return { iova: iova * 4096, cached: false };
  for (const [iova, entry] of iommu.iotlb) if (entry.page === page) return { iova: iova * 4096, cached: true };
  return null;
}

/** What a device's IOMMU maps though no mirror of the device holds it; null for nothing. */
export function keptByIommu(mirrors: readonly DeviceMirror[], device: Device): { readonly iova: number; readonly page: number } | null {
  if (device.iommu === null || device.iommu.table.size === 0) return null;
  const held = new Set<number>();
  for (const mirror of mirrors) {
    if (mirror.device !== device) continue;
    // Somebody is about to enter what he has just mapped.
    if (mirror.mutex.isLocked) return null;
    for (const [, { page }] of mirror.table) held.add(page);
  }
  for (const [iova, { page }] of device.iommu.table) if (!held.has(page)) return { iova: iova * 4096, page };
  return null;
}
