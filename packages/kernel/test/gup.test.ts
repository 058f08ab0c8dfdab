import { describe, expect, test } from "vitest";
import { Errno, FollFlag, Madv, MapFlag, PG, Prot, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { GUP_PIN_COUNTING_BIAS } from "../src/mm/page.js";
import { MEMORY_BLOCK_PAGES, ZoneId } from "../src/mm/zone.js";
import { echo, makeFs } from "./fs_harness.js";
import { makeKernel, runTask } from "./harness.js";

const RW = Prot.READ | Prot.WRITE;
const HUGE_PAGES = 512;

function* memory(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  return (yield* k.mmap.doMmap(k, mm, 0, pages * 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0)) / 4096;
}

/** The first page of 2 MiB that one entry maps. */
function* hugePage(k: Kernel, mm: Mm): MaySleep<number> {
  const vpn = Math.ceil((yield* memory(k, mm, 2 * HUGE_PAGES)) / HUGE_PAGES) * HUGE_PAGES;
  yield* k.madvise.doMadvise(k, mm, vpn * 4096, HUGE_PAGES * 4096, Madv.HUGEPAGE);
  yield* k.uaccess.putUser32(k, vpn * 4096, 1);
  return vpn;
}

describe("a pin", () => {
  test("counts as many references on a small folio, and apart on a large one", () => {
    const k = makeKernel({ frames: 8192 });
    const { memmap } = k.m;
    runTask(k, function* (mm) {
      const small = yield* memory(k, mm, 1);
      yield* k.uaccess.putUser32(k, small * 4096, 1);
      yield* k.swap.lruAddDrainAll(k);
      const page = yield* k.gupPin.pinUserPageFast(k, small, FollFlag.WRITE, "test");
      const again = yield* k.gupPin.pinUserPageFast(k, small, 0, "test");
      expect([again, memmap.refcount[page], memmap.pincount[page], memmap.isPinned(page)]).toEqual([page, 1 + 2 * GUP_PIN_COUNTING_BIAS, 0, true]);
      yield* k.gupPin.unpinUserPages(k, [page, again], "test");
      expect([memmap.refcount[page], memmap.isPinned(page)]).toEqual([1, false]);

      const vpn = yield* hugePage(k, mm);
      const pages: number[] = [];
      expect(yield* k.gupFast.pinUserPagesFast(k, vpn + 5, 3, FollFlag.WRITE, "test", pages)).toBe(3);
      const folio = memmap.folioOf(pages[0]!);
      expect(pages).toEqual([folio + 5, folio + 6, folio + 7]);
      expect([memmap.refcount[folio], memmap.pincount[folio]]).toEqual([4, 3]);
      yield* k.gupPin.unpinUserPages(k, pages, "test");
      expect([memmap.refcount[folio], memmap.pincount[folio]]).toEqual([1, 0]);
    });
  });

  test("of a huge page: fork maps it page by page, and the child has copies", () => {
    const k = makeKernel({ frames: 8192 });
    const { memmap, pt } = k.m;
    runTask(k, function* (mm) {
      const vpn = yield* hugePage(k, mm);
      const page = yield* k.gupPin.pinUserPageFast(k, vpn + 3, FollFlag.WRITE, "test");
      const child = (yield* k.fork.dupMm(k, mm))!;
      const frame = (of: Mm, at: number): number => memmap.pfnToPage(pt.pfnFor(pt.find(of.pgd, at), at));
      expect(pt.isHuge(pt.find(mm.pgd, vpn))).toBe(false);
      expect(frame(mm, vpn + 3)).toBe(page);
      expect(frame(child, vpn + 3)).not.toBe(page);
      expect(k.m.ram.frame(frame(child, vpn))[0]).toBe(1);
      yield* k.gupPin.unpinUserPage(k, page, true, "test");
      child.users = 0;
      yield* k.mmap.exitMmap(k, child);
    });
  });

  test("of zeros is none, and for ever it is a page of one's own", () => {
    const k = makeKernel();
    const { memmap, vmstat, zones } = k.m;
    runTask(k, function* (mm) {
      const vpn = yield* memory(k, mm, 1);
      yield* k.uaccess.getUser32(k, vpn * 4096);
      const before = [memmap.refcount[zones.zeroPage], vmstat.events.nr_foll_pin_acquired];
      const page = yield* k.gupPin.pinUserPageFast(k, vpn, 0, "test");
      expect(page).toBe(zones.zeroPage);
      expect([memmap.refcount[page], vmstat.events.nr_foll_pin_acquired]).toEqual(before);
      yield* k.gupPin.unpinUserPage(k, page, false, "test");
      const own = yield* k.gupPin.pinUserPageFast(k, vpn, FollFlag.LONGTERM, "test");
      expect([own === zones.zeroPage, memmap.has(own, PG.anonExclusive)]).toEqual([false, true]);
      yield* k.gupPin.unpinUserPage(k, own, false, "test");
    });
  });
});

describe("get_user_pages", () => {
  test("NOWAIT gets nothing, and no error, where a disk would have to be waited for", () => {
    const k = makeKernel({ frames: 512 });
    runTask(k, function* (mm) {
      const vpn = yield* memory(k, mm, 2);
      yield* k.uaccess.putUser32(k, vpn * 4096, 7);
      yield* k.swap.lruAddDrainAll(k);
      yield* k.madvise.doMadvise(k, mm, vpn * 4096, 4096, Madv.PAGEOUT);
      expect(k.swapops.isSwapEntry(k, k.m.pt.flags(k.m.pt.lookup(mm.pgd, vpn)))).toBe(true);
      yield* mm.mmapLock.read();
      const pages: number[] = [];
      expect(yield* k.gup.getUserPages(k, vpn, 1, FollFlag.NOFAULT, "test", pages)).toBe(-Errno.EFAULT);
      // As if it were being read.
      const cached = k.m.swap.cache[k.m.pt.pfn(k.m.pt.lookup(mm.pgd, vpn))]!;
      yield* k.folioLock.folioLock(k, cached);
      expect(yield* k.gup.getUserPages(k, vpn, 1, FollFlag.NOWAIT, "test", pages)).toBe(0);
      yield* k.folioLock.folioUnlock(k, cached);
      expect(yield* k.gup.getUserPages(k, vpn, 1, FollFlag.WRITE, "test", pages)).toBe(1);
      yield* k.swap.folioPut(k, pages.pop()!, "test");
      yield* mm.mmapLock.unlock();
    });
  });

  test("HWPOISON tells of broken memory, which is EFAULT for others", () => {
    const k = makeKernel();
    runTask(k, function* (mm) {
      const vpn = yield* memory(k, mm, 1);
      yield* k.uaccess.putUser32(k, vpn * 4096, 7);
      const { pt } = k.m;
      yield* k.swap.lruAddDrainAll(k);
      const page = k.m.memmap.pfnToPage(pt.pfn(pt.lookup(mm.pgd, vpn)));
      yield* k.swap.folioGet(k, page, "hwpoison");
      yield* k.memoryFailure.memoryFailure(k, page, false);
      yield* mm.mmapLock.read();
      const pages: number[] = [];
      expect(yield* k.gup.getUserPages(k, vpn, 1, FollFlag.HWPOISON, "test", pages)).toBe(-Errno.EHWPOISON);
      expect(yield* k.gup.getUserPages(k, vpn, 1, 0, "test", pages)).toBe(-Errno.EFAULT);
      yield* mm.mmapLock.unlock();
    });
  });

  test("refuses flags that make no sense, and says so", () => {
    const k = makeKernel();
    runTask(k, function* (mm) {
      const vpn = yield* memory(k, mm, 1);
      for (const gup of [FollFlag.PIN, FollFlag.LONGTERM, FollFlag.TOUCH]) expect(yield* k.gupFast.getUserPagesFast(k, vpn, 1, gup, "test", [])).toBe(-Errno.EINVAL);
      expect(yield* k.gupFast.pinUserPagesFast(k, vpn, 1, FollFlag.GET, "test", [])).toBe(-Errno.EINVAL);
      expect(yield* k.gupFast.getUserPagesFast(k, 2 ** 26, 1, 0, "test", [])).toBe(-Errno.EFAULT);
      expect(yield* k.gupFast.getUserPagesFast(k, 2 ** 52 - 1, 1, 0, "test", [])).toBe(-Errno.EOVERFLOW);
    });
  });
});

describe("a pin for as long as user space likes", () => {
  const state = "/sys/devices/system/memory/memory18/state";

  test.each([
    ["of a huge page of a pool", MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.HUGETLB, HUGE_PAGES],
    ["of shared memory", MapFlag.SHARED | MapFlag.ANONYMOUS, 1],
  ])("%s moves it out of ZONE_MOVABLE", (_, flags, pages) => {
    const { k, run } = makeFs({ frames: 4 * MEMORY_BLOCK_PAGES });
    const { hugetlb, memmap, pt, zones } = k.m;
    run(function* (mm) {
      expect(yield* echo(k, "offline", state)).toBe(8);
      expect(yield* echo(k, "online_movable", state)).toBe(15);
      yield* k.hugetlbPool.setMaxHugePages(k, hugetlb.defaultHstate, 2);
      const vpn = (yield* k.mmap.doMmap(k, mm, 0, pages * 4096, RW, flags, null, 0)) / 4096;
      yield* k.uaccess.putUser32(k, vpn * 4096, 7);
      const folio = (): number => memmap.folioOf(memmap.pfnToPage(pt.pfnFor(pt.find(mm.pgd, vpn), vpn)));
      expect(zones.zoneOf(folio()).id).toBe(ZoneId.Movable);
      const page = yield* k.gupPin.pinUserPageFast(k, vpn, FollFlag.WRITE | FollFlag.LONGTERM, "test");
      expect(memmap.folioOf(page)).toBe(folio());
      expect([zones.zoneOf(page).id, yield* k.uaccess.getUser32(k, vpn * 4096)]).toEqual([ZoneId.DMA32, 7]);
      yield* k.gupPin.unpinUserPage(k, page, true, "test");
      yield* k.mmap.doMunmap(k, mm, vpn * 4096, pages * 4096);
      expect([hugetlb.defaultHstate.nrHugePages, hugetlb.defaultHstate.freeHugePages]).toEqual([2, 2]);
    });
  });
});
