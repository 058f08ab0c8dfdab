import { MemoryType, PG, type Device, type Kernel } from "@faultline/kernel";

/**
 * Memory of devices: what is used of it has references, what is free stands on its device's lists once, and each
 * device-private page has a frame of its own for its contents.
 */
export function deviceBooks(k: Kernel, fail: (message: string, page: number) => void): void {
  const { memmap, pgmaps, refs } = k.m;
  for (const pgmap of pgmaps.all()) {
    const device = pgmap.owner as Device;
    const listed = new Map<number, number>();
    const list = (first: number, pages: number): void => {
      for (let page = first; page < first + pages; page++) listed.set(page, (listed.get(page) ?? 0) + 1);
    };
    for (const page of device.memory!.freePages) list(page, 1);
    for (const folio of device.memory!.freeFolios) list(folio, 512);
    let used = 0;
    for (let page = pgmap.firstPage; page < pgmap.firstPage + pgmap.pages; page++) {
      const folio = memmap.folioOf(page);
      const free = memmap.refcount[folio] === 0;
      if (!free) used++;
      const times = listed.get(page) ?? 0;
      if (times !== (free ? 1 : 0)) fail(`frame ${page} of ${device.name} has ${memmap.refcount[folio]} references, and is ${times} times on its lists of free memory`, page);
      if (memmap.has(page, PG.lru | PG.swapcache | PG.mlocked)) fail(`frame ${page} of ${device.name} is on an LRU list, locked in memory, or in the swap cache`, page);
      if (free || pgmap.type !== MemoryType.DEVICE_PRIVATE) continue;
      const backing = k.deviceMemory.backingPage(k, page);
      if (memmap.private[backing] !== page) fail(`frame ${page} of ${device.name} has its contents in frame ${backing}, which is not its`, page);
      if (memmap.refcount[backing] !== 1 || (refs?.count(backing) ?? 0) !== 0) fail(`frame ${backing} has the contents of device memory, and ${memmap.refcount[backing]} references`, backing);
    }
    if (used !== pgmap.used) fail(`${device.name} counts ${pgmap.used} used pages, and ${used} are`, pgmap.firstPage);
  }
}
