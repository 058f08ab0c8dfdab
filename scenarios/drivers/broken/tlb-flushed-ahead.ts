import { type Kernel, type MaySleep, type MmuNotifier, type NotifierRange } from "@faultline/kernel/driver";
import { svaDriver, svaInvalidate, svaRelease } from "../sva.js";

/** Flushes when an invalidation begins: the entries are still there, and its hardware caches them once more. */
export default svaDriver({
  *invalidateRangeStart(this: MmuNotifier, k: Kernel, { mm, startVpn, endVpn }: NotifierRange): MaySleep<void> {
    yield* svaInvalidate.call(this, k, mm, startVpn, endVpn);
  },
  release: svaRelease,
});
