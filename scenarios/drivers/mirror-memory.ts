import {
  driver,
  Errno,
  MemoryType,
  migrateArrays,
  MigratePfn,
  MigrateVmaSelect,
  NO_PAGE,
  VM,
  VmFault,
  type Device,
  type DeviceMirror,
  type Kernel,
  type MaySleep,
  type MigrateVma,
  type Vmf,
} from "@faultline/kernel/driver";
import { mirrorDriver } from "./mirror.js";

/** A page goes where `alloc` finds room for it: 0, or -ENOMEM. What somebody else holds stays where it is. */
function* move(k: Kernel, args: MigrateVma, alloc: () => MaySleep<number>): MaySleep<number> {
  const { src, srcFlags, dst, dstFlags, vma } = args;
  let error = yield* k.migrateDevice.migrateVmaSetup(k, args);
  if (error !== 0) return error;
  if ((srcFlags[0]! & MigratePfn.MIGRATE) !== 0) {
    const page = yield* alloc();
    if (page === NO_PAGE) error = -Errno.ENOMEM;
    else {
      // Where there was nothing, zeros.
      yield* k.deviceMemory.deviceCopyPage(k, page, src[0]!);
      dst[0] = page;
      const writable = src[0] === NO_PAGE ? (vma.flags & VM.WRITE) !== 0 : (srcFlags[0]! & MigratePfn.WRITE) !== 0;
      dstFlags[0] = MigratePfn.VALID | (writable ? MigratePfn.WRITE : 0);
    }
  }
  yield* k.migrateDevice.migrateVmaPages(k, args);
  yield* k.migrateDevice.migrateVmaFinalize(k, args);
  return error;
}

/** Moves a page of the process to the device's memory. */
export function* migrateToDevice(k: Kernel, { mm, device }: DeviceMirror, vpn: number): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(vpn);
  let error = -Errno.EFAULT;
  if (vma !== null) {
    const args: MigrateVma = { ...migrateArrays(1), vma, startVpn: vpn, endVpn: vpn + 1, select: MigrateVmaSelect.SYSTEM, owner: device, faultPage: NO_PAGE };
    error = yield* move(k, args, () => k.deviceMemory.deviceAllocFolio(k, device, 0));
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return error;
}

/** A CPU wants a page that is in the device's memory: it comes back. */
export function* migrateToRam(k: Kernel, { vma, vpn, page }: Vmf): MaySleep<number> {
  const owner = k.m.pgmaps.of(page)!.owner as Device;
  const args: MigrateVma = { ...migrateArrays(1), vma, startVpn: vpn, endVpn: vpn + 1, select: MigrateVmaSelect.DEVICE_PRIVATE, owner, faultPage: page };
  const error = yield* move(k, args, () => k.migrateDevice.allocSystemPage(k));
  return error === 0 ? 0 : VmFault.OOM;
}

const mirror = mirrorDriver();

/** The mirror driver, of a device with memory of its own that no CPU can address. */
export default driver({
  ...mirror,
  name: "mirror_memory",
  devices: [{ name: "mirror_memory0", memory: MemoryType.DEVICE_PRIVATE }],
  memory: { migrateToRam },
  operations: {
    ...mirror.operations,
    migrate: (k, file, addr) => migrateToDevice(k, file.data as DeviceMirror, Math.floor(addr / 4096)),
  },
});
