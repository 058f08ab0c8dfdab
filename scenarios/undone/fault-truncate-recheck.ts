import { type AddressSpace, type Kernel, type MaySleep, type UserPatch } from "@faultline/kernel";

/** A fault maps a page that was taken out of its file while its lock was waited for. */
const patch: UserPatch = {
  name: "fault-truncate-recheck",
  title: "the second look at the file, once the folio of a fault is locked",
  apply: () => ({
    filemap: {
      *filemapLockEntry(k: Kernel, mapping: AddressSpace, index: number, site: string): MaySleep<number> {
        const page = yield* k.filemap.filemapGetEntry(k, mapping, index, site);
        if (page < 0) return page;
        const folio = k.m.memmap.folioOf(page);
        if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
        return page;
      },
    },
  }),
};
export default patch;
