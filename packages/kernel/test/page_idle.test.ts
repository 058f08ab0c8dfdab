import { expect, test } from "vitest";
import { Madv, MapFlag, PG, Prot, PTE, type Atomic, type Kernel, type MaySleep, type Mm, type MmuNotifier } from "../src/index.js";
import { makeKernel, runTask } from "./harness.js";

/** One page that was written, on an LRU list: its address and its folio. */
function* filled(k: Kernel, mm: Mm): MaySleep<{ addr: number; folio: number; entry: number }> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  yield* k.uaccess.putUser32(k, addr, 1);
  yield* k.swap.lruAddDrainAll(k);
  const entry = k.m.pt.lookup(mm.pgd, addr / 4096);
  return { addr, folio: k.m.memmap.pfnToPage(k.m.pt.pfn(entry)), entry };
}

/** A secondary MMU that keeps who was used. */
class Young implements MmuNotifier {
  young = false;
  readonly asked: string[] = [];

  *clearFlushYoung(_k: Kernel, _mm: Mm, startVpn: number, endVpn: number): Atomic<boolean> {
    return yield* this.answer(`clear_flush_young ${endVpn - startVpn}`, true);
  }

  *clearYoung(_k: Kernel, _mm: Mm, startVpn: number, endVpn: number): Atomic<boolean> {
    return yield* this.answer(`clear_young ${endVpn - startVpn}`, true);
  }

  *testYoung(): Atomic<boolean> {
    return yield* this.answer("test_young", false);
  }

  private *answer(call: string, forgets: boolean): Atomic<boolean> {
    yield* [];
    this.asked.push(call);
    const { young } = this;
    if (forgets) this.young = false;
    return young;
  }
}

function* mark(k: Kernel, folio: number): MaySleep<void> {
  const pfn = k.m.memmap.pageToPfn(folio);
  const word = new Uint8Array(8);
  word[(pfn % 64) >> 3] = 1 << (pfn & 7);
  expect(yield* k.pageIdle.bitmapWrite(k, word, Math.floor(pfn / 64) * 8)).toBe(8);
}

test("reclaim, and idle page tracking, count what a device has used as used", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const { addr, folio, entry } = yield* filled(k, mm);
    const device = new Young();
    yield* k.mmuNotifier.mmuNotifierRegister(k, mm, device);
    expect(yield* k.rmap.folioReferenced(k, folio)).toBe(1);
    expect(yield* k.rmap.folioReferenced(k, folio)).toBe(0);
    device.young = true;
    expect([yield* k.mmuNotifier.mmuNotifierTestYoung(k, mm, addr / 4096), device.young]).toEqual([true, true]);
    expect([yield* k.rmap.folioReferenced(k, folio), device.young]).toEqual([1, false]);
    device.young = true;
    yield* mark(k, folio);
    // The mark comes behind the look, and tells reclaim what the look has forgotten.
    expect([device.young, k.m.memmap.has(folio, PG.idle), k.m.memmap.has(folio, PG.young)]).toEqual([false, true, true]);
    expect([yield* k.rmap.folioReferenced(k, folio), k.m.memmap.has(folio, PG.young)]).toEqual([1, false]);
    expect([yield* k.pageIdle.isIdle(k, folio), k.m.pt.flags(entry) & PTE.A]).toEqual([true, 0]);
    device.young = true;
    expect([yield* k.pageIdle.isIdle(k, folio), yield* k.pageIdle.isIdle(k, folio)]).toEqual([false, false]);
    const reclaim = "clear_flush_young 1";
    const tracking = "clear_young 1";
    expect(device.asked).toEqual([reclaim, reclaim, "test_young", reclaim, tracking, reclaim, tracking, tracking]);
    yield* k.mmuNotifier.mmuNotifierUnregister(k, mm, device);
  });
});

test("a folio that reclaim finds used is idle no more, nor one that is brought in again", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const { addr, folio } = yield* filled(k, mm);
    yield* mark(k, folio);
    yield* k.tlbflush.flushTlbMm(k, mm);
    yield* k.uaccess.getUser32(k, addr);
    // Once for the entry, and once for what the mark has found.
    expect([yield* k.rmap.folioReferenced(k, folio), k.m.memmap.has(folio, PG.idle)]).toEqual([2, false]);
    yield* mark(k, folio);
    yield* k.madvise.doMadvise(k, mm, addr, 4096, Madv.PAGEOUT);
    yield* k.uaccess.getUser32(k, addr);
    yield* k.swap.lruAddDrainAll(k);
    const again = k.m.memmap.pfnToPage(k.m.pt.pfn(k.m.pt.lookup(mm.pgd, addr / 4096)));
    expect(yield* k.pageIdle.isIdle(k, again)).toBe(false);
  });
});
