import type { Atomic, Kernel, MaySleep, Mm, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A page becomes exclusive to one device, and the others keep what they have of it. */
const patch: UserPatch = {
  name: "exclusive-notify",
  title: "the notifier call in make_device_exclusive()",
  apply: (base) => ({
    rmap: {
      *exclusiveReplacePte(k: Kernel, mm: Mm, vpn: number, folio: number, page: number, owner: object): MaySleep<boolean> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.rmap.exclusiveReplacePte(silent, mm, vpn, folio, page, owner);
      },
    },
  }),
};
export default patch;
