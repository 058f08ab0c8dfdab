import {
  DeviceMirror,
  DMA_MAPPING_ERROR,
  driver,
  Errno,
  HmmPfn,
  hmmRange,
  NO_PAGE,
  SWITCH,
  type Driver,
  type HmmDmaMap,
  type Kernel,
  type MaySleep,
  type NotifierRange,
  type OpenFile,
} from "@faultline/kernel/driver";
import { mirrorInvalidate } from "./mirror.js";

/** Pages that one file's window has. */
const WINDOW = 1;

/** What is mapped for DMA: a window of the address space from `vpn` on. Guarded by the mirror's mutex. */
interface Window {
  vpn: number;
  map: HmmDmaMap;
}

/** A device fault: the page is mapped for DMA, and then entered, as long as nothing was invalidated meanwhile. */
function* dmaFault(k: Kernel, mirror: DeviceMirror<Window>, vpn: number): MaySleep<number> {
  const { mm, notifier, mutex, device, data } = mirror;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EFAULT;
  const wanted = hmmRange(mirror, vpn, vpn + 1, HmmPfn.REQ_FAULT | HmmPfn.REQ_WRITE);
  let error = -Errno.EBUSY;
  while (error === -Errno.EBUSY) {
    wanted.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, notifier);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    error = yield* k.hmm.hmmRangeFault(k, wanted);
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    if (error === 0) {
      if (!mutex.tryLock()) yield* mutex.lock();
      if (yield* k.mmuNotifier.intervalReadRetry(k, notifier, wanted.notifierSeq)) error = -Errno.EBUSY;
      else {
        const { map } = data;
        const i = vpn - data.vpn;
        map.pages[i] = wanted.pages[0]!;
        map.flags[i] = (map.flags[i]! & HmmPfn.INOUT_FLAGS) | wanted.flags[0]!;
        const address = yield* k.hmmDma.hmmDmaMapPfn(k, device, map, i);
        if (address === DMA_MAPPING_ERROR) error = -Errno.EIO;
        else yield* k.device.deviceMap(k, mirror, vpn, { page: map.pages[i], write: true, atomic: false });
      }
      if (!mutex.tryUnlock()) yield* mutex.unlock();
    }
    if (error === -Errno.EBUSY && k.m.retries.again("dma_fault")) yield SWITCH;
  }
  yield* k.fork.mmput(k, mm);
  return error;
}

/** What goes is unmapped from the IOMMU first; the mirror's own callback does the rest, under the same lock. */
export function* dmaInvalidate(k: Kernel, mirror: DeviceMirror, range: NotifierRange, seq: number): MaySleep<boolean> {
  const { vpn, map } = mirror.data as Window;
  if (!k.mmuNotifier.rangeBlockable(k, range)) {
    if (!(yield* mirror.mutex.trylock())) return false;
  } else if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
  k.mmuNotifier.intervalSetSeq(k, mirror.notifier, seq);
  for (let i = 0; i < map.flags.length; i++) {
    if (vpn + i >= range.startVpn && vpn + i < range.endVpn) yield* k.hmmDma.hmmDmaUnmapPfn(k, mirror.device, map, i);
  }
  yield* k.device.deviceInvalidate(k, mirror, range);
  if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
  return true;
}

/** The driver of a device behind an IOMMU, that reaches memory by I/O virtual addresses alone. */
export function dmaDriver(invalidate: typeof mirrorInvalidate = dmaInvalidate): Driver {
  function* access(k: Kernel, file: OpenFile, addr: number, value: number | null): MaySleep<number> {
    const mirror = file.data as DeviceMirror<Window>;
    const { mutex, device, data } = mirror;
    const vpn = Math.floor(addr / 4096);
    if (vpn < data.vpn || vpn >= data.vpn + WINDOW) return -Errno.EFAULT;
    for (;;) {
      if (!mutex.tryLock()) yield* mutex.lock();
      const entry = yield* k.device.deviceLookup(k, mirror, vpn);
      let result = 0;
      if (entry !== undefined) {
        const page = yield* k.iommu.deviceTranslate(k, device, data.map.dma[vpn - data.vpn]!, value !== null);
        if (page === NO_PAGE) result = -Errno.EIO;
        else if (value === null) result = yield* k.device.deviceLoad32(k, mirror, addr, page);
        else yield* k.device.deviceStore32(k, mirror, addr, page, value);
      }
      if (!mutex.tryUnlock()) yield* mutex.unlock();
      if (entry !== undefined) return result;
      const error = yield* dmaFault(k, mirror, vpn);
      if (error !== 0) return error;
      if (k.m.retries.again("dma_access")) yield SWITCH;
    }
  }

  return driver({
    name: "dma",
    devices: [{ name: "dma0", iommu: true }],
    file: {
      *open(k, file, device) {
        const { mm } = k.m.current!;
        if (mm === null) return -Errno.EINVAL;
        const map = yield* k.hmmDma.hmmDmaMapAlloc(k, device, WINDOW);
        if (map === null) return -Errno.EOPNOTSUPP;
        const data: Window = { vpn: 0, map };
        const mirror = new DeviceMirror(k, device, mm, { data });
        file.data = mirror;
        yield* k.mmuNotifier.intervalInsert(k, mirror.notifier);
        return 0;
      },
      *release(k, file) {
        const mirror = file.data as DeviceMirror<Window>;
        const { device, data } = mirror;
        yield* k.mmuNotifier.intervalRemove(k, mirror.notifier);
        for (let i = 0; i < WINDOW; i++) yield* k.hmmDma.hmmDmaUnmapPfn(k, device, data.map, i);
        yield* k.hmmDma.hmmDmaMapFree(k, device, data.map);
        mirror.table.clear();
        yield* k.device.mirrorFree(k, mirror);
      },
    },
    invalidate,
    operations: {
      /** Where the window is to begin; before anything is mapped. */
      *window(_k, file, addr) {
        const mirror = file.data as DeviceMirror<Window>;
        if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
        mirror.data.vpn = Math.floor(addr / 4096);
        if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
        return 0;
      },
      load32: (k, file, addr) => access(k, file, addr, null),
      store32: (k, file, addr, value) => access(k, file, addr, value),
    },
  });
}

export default dmaDriver();
