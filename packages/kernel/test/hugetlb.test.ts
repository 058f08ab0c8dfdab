import { describe, expect, test } from "vitest";
import { FollFlag, Madv, MapFlag, PG, PTE, Prot, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { procmapQuery } from "../src/fs/proc/procmap_query.js";
import { makeKernel, runTask } from "./harness.js";

const HUGE = 2 << 20;
const RW = Prot.READ | Prot.WRITE;

/** Private huge pages, the first word of each written. */
function* hugePages(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * HUGE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.HUGETLB, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * HUGE, i + 1);
  return addr;
}

function frameOf(k: Kernel, mm: Mm, addr: number): number {
  const { pt, memmap } = k.m;
  return memmap.pfnToPage(pt.pfnFor(pt.find(mm.pgd, addr / 4096), addr / 4096));
}

describe("a pool", () => {
  test("takes folios from the buddy allocator, and gives them back as they were", () => {
    const k = makeKernel({ frames: 8192 });
    const { defaultHstate: h } = k.m.hugetlb;
    runTask(k, function* () {
      yield* k.pageAlloc.drainAllPages(k, k.m.zones.list[0]!);
      const free = k.m.zones.freePages();
      yield* k.hugetlbPool.setMaxHugePages(k, h, 3);
      expect([h.nrHugePages, h.freeHugePages, free - k.m.zones.freePages()]).toEqual([3, 3, 3 * 512]);
      yield* k.hugetlbPool.setMaxHugePages(k, h, 0);
      yield* k.pageAlloc.drainAllPages(k, k.m.zones.list[0]!);
      expect([h.nrHugePages, k.m.zones.freePages()]).toEqual([0, free]);
    });
  });

  test("has no more than there is memory for", () => {
    const k = makeKernel({ frames: 4096 });
    const { defaultHstate: h } = k.m.hugetlb;
    runTask(k, function* () {
      yield* k.hugetlbPool.setMaxHugePages(k, h, 1000);
      expect(h.nrHugePages).toBeGreaterThan(2);
      expect(h.nrHugePages).toBeLessThan(8);
    });
  });
});

test("PROCMAP_QUERY tells the size of huge pages", () => {
  const k = makeKernel({ frames: 8192 });
  runTask(k, function* (mm) {
    yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 1);
    const huge = yield* hugePages(k, mm, 1);
    const small = yield* k.mmap.doMmap(k, mm, 0, 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    for (const [addr, size] of [[huge, HUGE], [small, 4096]] as const) {
      const words = new BigUint64Array(13);
      words.set([104n, 0n, BigInt(addr)]);
      yield* k.uaccess.copyToUser(k, small, new Uint8Array(words.buffer));
      expect(yield* procmapQuery(k, mm, small)).toBe(0);
      expect(yield* k.uaccess.getUser64(k, small + 48)).toBe(BigInt(size));
    }
  });
});

test("a dump asks the file for what is not mapped, page by page", () => {
  const k = makeKernel({ frames: 8192 });
  runTask(k, function* (mm) {
    yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 3);
    const addr = yield* k.mmap.doMmap(k, mm, 0, 3 * HUGE, RW, MapFlag.SHARED | MapFlag.ANONYMOUS | MapFlag.HUGETLB, null, 0);
    yield* k.uaccess.putUser32(k, addr + 2 * HUGE, 1);
    const vma = mm.vmaAt(addr / 4096)!;
    const present: boolean[] = [];
    for (let i = 0; i < 3; i++) present.push(yield* k.hugetlb.pagecachePresent(k, vma, (addr + i * HUGE) / 4096 + 5));
    expect(present).toEqual([false, false, true]);
  });
});

describe("a pinned huge page", () => {
  test("stays its owner's when that forks: the child gets a copy at once", () => {
    const k = makeKernel({ frames: 8192 });
    const { memmap } = k.m;
    runTask(k, function* (mm) {
      yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 3);
      const addr = yield* hugePages(k, mm, 1);
      const page = yield* k.gupPin.pinUserPageFast(k, addr / 4096 + 7, FollFlag.WRITE, "test");
      const folio = memmap.folioOf(page);
      expect([page - folio, memmap.has(folio, PG.anonExclusive)]).toEqual([7, true]);
      const child = (yield* k.fork.dupMm(k, mm))!;
      expect(frameOf(k, mm, addr)).toBe(folio);
      expect(frameOf(k, child, addr)).not.toBe(folio);
      expect(memmap.has(folio, PG.anonExclusive)).toBe(true);
      expect(k.m.pt.flags(k.m.pt.find(mm.pgd, addr / 4096)) & PTE.W).not.toBe(0);
      yield* k.gupPin.unpinUserPage(k, page, false, "test");
      child.users = 0;
      yield* k.mmap.exitMmap(k, child);
    });
  });

  test("that is pinned to be read is no longer shared with a child", () => {
    const k = makeKernel({ frames: 8192 });
    const { memmap } = k.m;
    runTask(k, function* (mm) {
      yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 3);
      const addr = yield* hugePages(k, mm, 1);
      const child = (yield* k.fork.dupMm(k, mm))!;
      const shared = frameOf(k, mm, addr);
      const page = yield* k.gupPin.pinUserPageFast(k, addr / 4096 + 9, 0, "test");
      expect(memmap.folioOf(page)).not.toBe(shared);
      expect(memmap.has(memmap.folioOf(page), PG.anonExclusive)).toBe(true);
      expect([frameOf(k, mm, addr), frameOf(k, child, addr)]).toEqual([memmap.folioOf(page), shared]);
      yield* k.gupPin.unpinUserPage(k, page, false, "test");
      child.users = 0;
      yield* k.mmap.exitMmap(k, child);
    });
  });
});

describe("a huge page that moves", () => {
  test("is found at its new frame by all who map it, with its place in the pool", () => {
    const k = makeKernel({ frames: 8192 });
    const { defaultHstate: h } = k.m.hugetlb;
    runTask(k, function* (mm) {
      yield* k.hugetlbPool.setMaxHugePages(k, h, 2);
      const addr = yield* hugePages(k, mm, 2);
      const child = (yield* k.fork.dupMm(k, mm))!;
      const before = frameOf(k, mm, addr);
      yield* k.memoryHotplug.doMigrateRange(k, before, before + 1);
      const after = frameOf(k, mm, addr);
      expect([after === before, frameOf(k, child, addr)]).toEqual([false, after]);
      expect(yield* k.uaccess.getUser32(k, addr)).toBe(1);
      // There was no free one: it has come from the buddy allocator, and the old one has gone there.
      expect([h.nrHugePages, h.freeHugePages]).toEqual([2, 0]);
      child.users = 0;
      yield* k.mmap.exitMmap(k, child);
      yield* k.madvise.doMadvise(k, mm, addr, 2 * HUGE, Madv.DONTNEED);
      expect([h.nrHugePages, h.freeHugePages, h.resvHugePages]).toEqual([2, 2, 2]);
    });
  });
});
