import type { Atomic } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { MemoryType } from "../mm/dev_pagemap.js";
import type { Device } from "../drivers/device.js";
import { MigrateVmaSelect } from "../mm/migrate_device.js";
import { NO_PAGE } from "../mm/page.js";
import type { Patch } from "./patch.js";

/** Pages that the old driver migrates in one go. */
const OLD_BATCH = 64;

/**
 * Before it, memory of devices is single pages: what is mapped by 2 MiB is split on its way there, and a large folio
 * that is mapped page by page stays. The test driver has no allocation to fail on demand.
 */
function undo(_base: KernelModules): Overlay {
  return {
    migrateDevice: {
      selectsCompound: (): boolean => false,
      *collectLarge(_k: Kernel, _folio: number): Atomic<number> {
        yield* [];
        return NO_PAGE;
      },
    },
    testHmm: { dmirrorSetFlags: () => -Errno.EINVAL },
    testHmmMemory: {
      MIGRATE_BATCH: OLD_BATCH,
      toDeviceSelect: (): number => MigrateVmaSelect.SYSTEM,
      fromDeviceSelect: ({ memory }: Device): number =>
        memory!.type === MemoryType.DEVICE_COHERENT ? MigrateVmaSelect.DEVICE_COHERENT : MigrateVmaSelect.DEVICE_PRIVATE,
    },
  };
}

export const DEVICE_PRIVATE_THP_2025: Patch = {
  name: "device-private-thp",
  title: "mm: support device-private THP",
  series: "mm: support device-private THP",
  since: "6.19",
  status: "modelled",
  undo,
};
