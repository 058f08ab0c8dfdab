import { NO_PAGE, type Kernel, type MaySleep, type UserPatch } from "@faultline/kernel";

/** A page that comes back from a device is charged to the cgroup, as one is that a fault makes. */
const patch: UserPatch = {
  name: "device-charge-again",
  title: "that a page's charge goes along in folio_migrate_flags(), and bringing it back needs none",
  apply: (replaced) => ({
    migrateDevice: {
      *allocSystemPage(k: Kernel): MaySleep<number> {
        const page = yield* replaced.migrateDevice.allocSystemPage(k);
        if (page === NO_PAGE || (yield* k.memcg.chargePage(k, page, k.m.current!.memcg))) return page;
        yield* k.folioLock.folioUnlock(k, page);
        yield* k.swap.folioPut(k, page, "alloc");
        return NO_PAGE;
      },
    },
  }),
};
export default patch;
