/** What an entry of a page table is. A colour and a letter each; `css` is the name of the colour's variable. */
export enum Kind {
  None,
  Writable,
  ReadOnly,
  Zero,
  ProtNone,
  NumaHint,
  Swap,
  Migration,
  DevicePrivate,
  DeviceCoherent,
  DeviceExclusive,
  UffdMarker,
  Guard,
  Poison,
  Invalid,
}

export interface KindInfo {
  readonly letter: string;
  readonly name: string;
  readonly css: string;
  readonly doc: string;
}

export const KINDS: Readonly<Record<Kind, KindInfo>> = {
  [Kind.None]: { letter: "", name: "none", css: "k-none", doc: "No entry: an access faults, and the fault decides what comes here." },
  [Kind.Writable]: { letter: "W", name: "present, writable", css: "k-writable", doc: "Maps a page that may be written." },
  [Kind.ReadOnly]: { letter: "R", name: "present, read-only", css: "k-readonly", doc: "Maps a page; a write faults: copy-on-write, write notification, or no right to." },
  [Kind.Zero]: { letter: "Z", name: "zero page", css: "k-zero", doc: "Maps the one page of zeroes; the first write replaces it." },
  [Kind.ProtNone]: { letter: "P", name: "PROT_NONE", css: "k-protnone", doc: "Has a page, and grants no access to it, as its VMA says." },
  [Kind.NumaHint]: { letter: "N", name: "NUMA hint", css: "k-numa", doc: "Grants nothing so that the next access tells NUMA balancing from which node it comes." },
  [Kind.Swap]: { letter: "S", name: "swap", css: "k-swap", doc: "The page is on the swap device, or in the swap cache." },
  [Kind.Migration]: { letter: "M", name: "migration", css: "k-migration", doc: "The page is on its way to another frame; who meets the entry waits for the folio lock." },
  [Kind.DevicePrivate]: { letter: "D", name: "device-private", css: "k-private", doc: "The page is in memory that only the device can address; a CPU's access brings it back." },
  [Kind.DeviceCoherent]: { letter: "C", name: "device-coherent", css: "k-coherent", doc: "Maps a page of a device's memory that CPUs can address as well." },
  [Kind.DeviceExclusive]: { letter: "X", name: "device-exclusive", css: "k-exclusive", doc: "A device has the page for atomic access; a CPU's access takes it back." },
  [Kind.UffdMarker]: { letter: "U", name: "uffd marker", css: "k-uffd", doc: "No page, but a userfaultfd's protection, which what is mapped here next begins with." },
  [Kind.Guard]: { letter: "G", name: "guard", css: "k-guard", doc: "Every access is a SIGSEGV (MADV_GUARD_INSTALL)." },
  [Kind.Invalid]: { letter: "I", name: "invalid", css: "k-invalid", doc: "For a moment: 2 MiB are being taken out or split, and the hardware must not use the entry meanwhile (pmdp_invalidate())." },
  [Kind.Poison]: { letter: "H", name: "poison", css: "k-poison", doc: "The page is broken, or declared so: an access is a SIGBUS." },
};
