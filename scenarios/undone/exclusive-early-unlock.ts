import { SWITCH, type Dmirror, type Kernel, type MaySleep, type UserPatch } from "@faultline/kernel";

/** The driver lets go of the folio that make_device_exclusive() has locked before it has entered the page. */
const patch: UserPatch = {
  name: "exclusive-early-unlock",
  title: "the folio lock kept until the driver has programmed its own page table",
  apply: () => ({
    testHmm: {
      *dmirrorMakeExclusive(k: Kernel, dmirror: Dmirror, startVpn: number, endVpn: number): MaySleep<number> {
        for (let vpn = startVpn; vpn < endVpn; ) {
          const taken = yield* k.rmap.makeDeviceExclusive(k, dmirror.mm, vpn, dmirror.device);
          if (typeof taken === "number") return taken;
          yield* k.folioLock.folioUnlock(k, taken.folio);
          const mapped = yield* k.testHmm.dmirrorAtomicMap(k, dmirror, vpn, taken.page);
          yield* k.swap.folioPut(k, taken.folio, "exclusive");
          if (mapped) vpn++;
          else if (k.m.retries.again("dmirror_exclusive")) yield SWITCH;
        }
        return 0;
      },
    },
  }),
};
export default patch;
