import type { Kernel, MaySleep, MigrateVma, UserPatch } from "@faultline/kernel";

function* silent(): MaySleep<void> {
  yield* [];
}

/** Pages are taken for a migration, and no other device is told. */
const patch: UserPatch = {
  name: "device-migrate-notify",
  title: "the notifier calls around migrate_vma_collect()",
  apply: (base) => ({
    migrateDevice: {
      *migrateVmaCollect(k: Kernel, args: MigrateVma): MaySleep<void> {
        const mute: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: silent, invalidateRangeEnd: silent } };
        yield* base.migrateDevice.migrateVmaCollect(mute, args);
      },
    },
  }),
};
export default patch;
