/** What a page of physical memory is used for. A colour and a letter each; `css` is the name of the colour's variable. */
export enum PageUse {
  Free,
  PerCpu,
  Anon,
  File,
  Shmem,
  Kernel,
  PageTable,
  Reserved,
  ZeroPage,
  Hugetlb,
  DevicePrivate,
  DeviceCoherent,
  DeviceFree,
  Offline,
  Poison,
}

/** What a slot of the swap device holds. Numbers go on behind those of pages: both are drawn alike. */
export enum SlotUse {
  Free = 32,
  Header,
  Anon,
  Shmem,
  Cached,
}

export type Use = PageUse | SlotUse;

export interface UseInfo {
  readonly letter: string;
  readonly name: string;
  readonly css: string;
  readonly doc: string;
}

export const USES: Readonly<Record<Use, UseInfo>> = {
  [PageUse.Free]: { letter: "", name: "free", css: "k-none", doc: "On a list of the buddy allocator." },
  [PageUse.PerCpu]: { letter: "c", name: "free, per CPU", css: "u-percpu", doc: "Free, and kept on a CPU's own list, so that it can be had without the zone's lock." },
  [PageUse.Anon]: { letter: "A", name: "anonymous", css: "k-writable", doc: "Memory of processes that no file stands behind: it can go to swap only." },
  [PageUse.File]: { letter: "F", name: "file", css: "k-readonly", doc: "Page cache of a file: it can be read again from there." },
  [PageUse.Shmem]: { letter: "T", name: "tmpfs", css: "k-uffd", doc: "A file in memory, or shared anonymous memory: page cache that goes to swap." },
  [PageUse.Kernel]: { letter: "K", name: "kernel", css: "k-guard", doc: "Allocated, and neither on a list of reclaim's nor of a file: the kernel's own, or on its way to somebody." },
  [PageUse.PageTable]: { letter: "P", name: "page table", css: "k-protnone", doc: "A table of some address space." },
  [PageUse.Reserved]: { letter: "R", name: "reserved", css: "u-reserved", doc: "Never given to the allocator: the kernel's image and the memmap." },
  [PageUse.ZeroPage]: { letter: "Z", name: "zero page", css: "k-zero", doc: "The page of zeroes that reads of untouched anonymous memory map." },
  [PageUse.Hugetlb]: { letter: "H", name: "hugetlb", css: "k-numa", doc: "Of a pool of huge pages: in use, or kept for that." },
  [PageUse.DevicePrivate]: { letter: "D", name: "device-private", css: "k-private", doc: "Memory of a device that CPUs cannot address, with contents of a process." },
  [PageUse.DeviceCoherent]: { letter: "C", name: "device-coherent", css: "k-coherent", doc: "Memory of a device that CPUs can address as well, with contents of a process." },
  [PageUse.DeviceFree]: { letter: "d", name: "device-free", css: "u-devicefree", doc: "Memory of a device that its driver has for the next who wants it." },
  [PageUse.Offline]: { letter: "O", name: "offline", css: "u-offline", doc: "Its memory block is offline: nobody may have it." },
  [PageUse.Poison]: { letter: "!", name: "poison", css: "k-poison", doc: "Broken, or declared so: never used again." },
  [SlotUse.Free]: { letter: "", name: "free slot", css: "k-none", doc: "Nothing was written here, or nobody needs it any more." },
  [SlotUse.Header]: { letter: "h", name: "swap header", css: "u-reserved", doc: "The first slot says what the device is, and holds nothing." },
  [SlotUse.Anon]: { letter: "S", name: "swapped out", css: "k-swap", doc: "An anonymous page is here, and in no frame: page-table entries name the slot." },
  [SlotUse.Shmem]: { letter: "t", name: "swapped tmpfs", css: "k-exclusive", doc: "A page of a file in memory is here: the file's own table names the slot." },
  [SlotUse.Cached]: { letter: "B", name: "swap cache", css: "k-migration", doc: "The swap cache has a folio for the slot: on its way out or in, or kept in case it stays clean." },
};

/** What else is to be said of a page. */
export enum PageMark {
  Pinned = 1,
  /** First page of a folio of more than one. */
  Head = 2,
  Tail = 4,
  Locked = 8,
  Dirty = 16,
  Writeback = 32,
}
