import { describe, expect, test } from "vitest";
import {
  Dmirror,
 
  Errno,
  Madv,
  MapFlag,
  MigrateMode,
  PATCHES,
  PG,
  PTE,
  Prot,
  RssKind,
  resolvePatches,
  swapType,
  type Kernel,
  type MaySleep,
  type Mm,
  type OverlayFactory,
} from "../src/index.js";
import { makeKernel, runTask } from "./harness.js";

const RW = Prot.READ | Prot.WRITE;

/** Maps and writes pages; where they are, and the frames they have. */
function* filled(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  yield* k.swap.lruAddDrainAll(k);
  return addr;
}

function ptepOf(k: Kernel, mm: Mm, addr: number): number {
  return k.m.pt.lookup(mm.pgd, addr / 4096);
}

function frameOf(k: Kernel, mm: Mm, addr: number): number {
  return k.m.memmap.pfnToPage(k.m.pt.pfn(ptepOf(k, mm, addr)));
}

/** Isolates what is mapped at an address and tries to move it; how many did not move. */
function* migrate(k: Kernel, mm: Mm, addr: number, mode = MigrateMode.SYNC): MaySleep<number> {
  const folio = frameOf(k, mm, addr);
  if (!(yield* k.swap.folioIsolateLru(k, folio))) throw new Error("it is on no list");
  const { failed, result } = yield* k.migrate.migratePages(k, [folio], k.migrate.allocMigrationTarget, mode);
  yield* k.vmscan.putbackFolios(k, failed);
  yield* k.swap.lruAddDrainAll(k);
  return result;
}

function* exclusive(k: Kernel, mm: Mm, addr: number): MaySleep<Dmirror> {
  const dmirror = new Dmirror(k, k.testHmm.initTestHmm(k, 1)[0]!, mm);
  yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, addr / 4096, addr / 4096 + 1);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.swap.lruAddDrainAll(k);
  return dmirror;
}

test("a page moves with its contents, its permissions and its charge", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const addr = yield* filled(k, mm, 1);
    const { memmap, pt } = k.m;
    const old = frameOf(k, mm, addr);
    const flags = pt.flags(ptepOf(k, mm, addr));
    const pages = memmap.flags[old]!;
    const charged = memmap.memcg[old];
    expect(yield* migrate(k, mm, addr)).toBe(0);
    const now = frameOf(k, mm, addr);
    expect(now).not.toBe(old);
    // The mark of having been written since the last look is not lost, nor is any permission.
    expect(pt.flags(ptepOf(k, mm, addr))).toBe(flags);
    expect(memmap.flags[now]! | PG.dirty).toBe(pages | PG.dirty);
    expect(memmap.memcg[now]).toBe(charged);
    expect([memmap.refcount[old], memmap.memcg[old]]).toEqual([0, 0]);
    expect([memmap.refcount[now], memmap.mapcount[now]]).toEqual([1, 1]);
    expect(mm.rss[RssKind.anon]).toBe(1);
    expect(k.m.vmstat.events.pgmigrate_success).toBe(1);
    expect(yield* k.uaccess.getUser32(k, addr)).toBe(1);
  });
});

test("a page in the swap cache takes its slot along", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const addr = yield* filled(k, mm, 1);
    yield* k.madvise.doMadvise(k, mm, addr, 4096, Madv.PAGEOUT);
    expect(yield* k.uaccess.getUser32(k, addr)).toBe(1);
    yield* k.swap.lruAddDrainAll(k);
    const old = frameOf(k, mm, addr);
    expect(k.m.memmap.has(old, PG.swapcache)).toBe(true);
    const slot = k.m.memmap.private[old]!;
    expect(yield* migrate(k, mm, addr)).toBe(0);
    const now = frameOf(k, mm, addr);
    expect(k.m.swap.cache[slot]).toBe(now);
    expect(k.m.memmap.has(now, PG.swapcache)).toBe(true);
    expect([k.m.memmap.private[now], k.m.memmap.refcount[now]]).toEqual([slot, 2]);
    expect(k.m.vmstat.pages.swapcached).toBe(1);
  });
});

test("who holds a reference keeps a page where it is", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const addr = yield* filled(k, mm, 1);
    const frame = frameOf(k, mm, addr);
    yield* k.swap.folioGet(k, frame, "test");
    const flags = k.m.pt.flags(ptepOf(k, mm, addr));
    expect(yield* migrate(k, mm, addr)).toBe(1);
    expect(frameOf(k, mm, addr)).toBe(frame);
    expect(k.m.pt.flags(ptepOf(k, mm, addr))).toBe(flags);
    expect([k.m.memmap.refcount[frame], k.m.memmap.mapcount[frame]]).toEqual([2, 1]);
    expect(k.m.memmap.has(frame, PG.locked)).toBe(false);
    expect(k.m.vmstat.events.pgmigrate_fail).toBe(1);
    yield* k.swap.folioPut(k, frame, "test");
  });
});

test("without room nothing moves, and the caller is told", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const addr = yield* filled(k, mm, 2);
    const folios: number[] = [];
    for (const at of [addr, addr + 4096]) {
      const folio = frameOf(k, mm, at);
      if (yield* k.swap.folioIsolateLru(k, folio)) folios.push(folio);
    }
    const none = function* (): MaySleep<number> {
      yield* k.m.sched.condResched();
      return -1;
    };
    const outcome = yield* k.migrate.migratePages(k, folios, none, MigrateMode.SYNC);
    expect(outcome).toEqual({ failed: folios, result: -Errno.ENOMEM });
    yield* k.vmscan.putbackFolios(k, outcome.failed);
  });
});

describe("a huge page that is split", () => {
  const HPAGE_SIZE = 2 ** 21;

  /** Writes to one page of a huge one, and has another called cold, which splits it; RssAnon then, in pages. */
  function split(overlays: readonly OverlayFactory[] = []): { rss: number; first: number | null; zeroes: boolean } {
    const k = makeKernel({ frames: 8192, overlays });
    return runTask(k, function* (mm) {
      const mapped = yield* k.mmap.doMmap(k, mm, 0, 2 * HPAGE_SIZE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
      const addr = Math.ceil(mapped / HPAGE_SIZE) * HPAGE_SIZE;
      yield* k.madvise.doMadvise(k, mm, mapped, 2 * HPAGE_SIZE, Madv.HUGEPAGE);
      yield* k.uaccess.putUser32(k, addr + 5 * 4096, 1);
      expect(mm.rss[RssKind.anon]).toBe(512);
      yield* k.madvise.doMadvise(k, mm, addr, 4096, Madv.COLD);
      expect(yield* k.uaccess.getUser32(k, addr + 5 * 4096)).toBe(1);
      const zeroes = frameOf(k, mm, addr + 7 * 4096) === k.m.zones.zeroPage;
      yield* k.uaccess.putUser32(k, addr + 7 * 4096, 2);
      return { rss: mm.rss[RssKind.anon]!, first: yield* k.uaccess.getUser32(k, addr + 6 * 4096), zeroes };
    });
  }

  test("has the page of zeros where nothing but zeros were", () => {
    expect(split()).toEqual({ rss: 2, first: 0, zeroes: true });
  });

  test("kept its pages before 6.12", () => {
    const overlays = resolvePatches({ release: "7.3", without: ["split-shared-zeropage"] });
    if (typeof overlays === "string") throw new Error(overlays);
    expect(split(overlays)).toEqual({ rss: 512, first: 0, zeroes: false });
  });
});

describe("a huge page that moves", () => {
  test.each(["private", "shared"] as const)("is mapped by one entry again, %s memory", (kind) => {
    const k = makeKernel({ frames: 8192 });
    runTask(k, function* (mm) {
      k.m.thp.shmemEnabled = "advise";
      const flags = (kind === "private" ? MapFlag.PRIVATE : MapFlag.SHARED) | MapFlag.ANONYMOUS;
      const mapped = yield* k.mmap.doMmap(k, mm, 0, 2 ** 22, RW, flags, null, 0);
      const addr = Math.ceil(mapped / 2 ** 21) * 2 ** 21;
      yield* k.madvise.doMadvise(k, mm, mapped, 2 ** 22, Madv.HUGEPAGE);
      yield* k.uaccess.putUser32(k, addr + 5 * 4096, 1);
      const pmd = k.m.pt.pmd(mm.pgd, addr / 4096);
      expect(k.m.pt.isLeaf(pmd)).toBe(true);
      const before = k.m.memmap.pfnToPage(k.m.pt.pfn(pmd));
      yield* k.swap.lruAddDrainAll(k);
      yield* k.memoryHotplug.doMigrateRange(k, before, before + 1);
      const after = k.m.memmap.pfnToPage(k.m.pt.pfn(pmd));
      expect(after).not.toBe(before);
      expect(k.m.pt.isLeaf(pmd) && (k.m.pt.flags(pmd) & PTE.V) !== 0).toBe(true);
      const { thp_split_pmd: split, thp_migration_success: moved } = k.m.vmstat.events;
      expect({ split, moved }).toEqual({ split: 0, moved: 1 });
      expect(k.m.vmstat.pages[kind === "private" ? "anonThp" : "shmemPmdMapped"]).toBe(512);
      expect(yield* k.uaccess.getUser32(k, addr + 5 * 4096)).toBe(1);
      yield* k.uaccess.putUser32(k, addr + 6 * 4096, 2);
      expect(k.m.memmap.refcount[before]).toBe(0);
    });
  });
});

describe("advice about a part of what one entry maps", () => {
  /** Whether one entry maps 2 MiB still, after advice about their second page. */
  function staysHuge(advice: Madv, written: boolean): boolean {
    const k = makeKernel({ frames: 8192 });
    return runTask(k, function* (mm) {
      const mapped = yield* k.mmap.doMmap(k, mm, 0, 2 ** 22, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
      const addr = Math.ceil(mapped / 2 ** 21) * 2 ** 21;
      yield* k.madvise.doMadvise(k, mm, mapped, 2 ** 22, Madv.HUGEPAGE);
      if (written) yield* k.uaccess.putUser32(k, addr, 1);
      else yield* k.uaccess.getUser32(k, addr);
      expect(yield* k.madvise.doMadvise(k, mm, addr + 4096, 4096, advice)).toBe(0);
      return k.m.pt.isLeaf(k.m.pt.pmd(mm.pgd, addr / 4096));
    });
  }

  test.each(["COLD", "PAGEOUT", "FREE"] as const)("%s splits a huge page, and not the one of zeros", (name) => {
    expect({ written: staysHuge(Madv[name], true), zeros: staysHuge(Madv[name], false) }).toEqual({ written: false, zeros: true });
  });

  test("COLD splits a folio of which a part is mapped no more, wherever it is", () => {
    const k = makeKernel({ frames: 8192 });
    runTask(k, function* (mm) {
      const mapped = yield* k.mmap.doMmap(k, mm, 0, 2 ** 22, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
      const addr = Math.ceil(mapped / 2 ** 21) * 2 ** 21;
      yield* k.madvise.doMadvise(k, mm, mapped, 2 ** 22, Madv.HUGEPAGE);
      yield* k.uaccess.putUser32(k, addr + 5 * 4096, 1);
      yield* k.madvise.doMadvise(k, mm, addr + 8 * 4096, 4096, Madv.DONTNEED);
      expect(mm.rss[RssKind.anon]).toBe(511);
      yield* k.madvise.doMadvise(k, mm, addr, 2 ** 21, Madv.COLD);
      expect(mm.rss[RssKind.anon]).toBe(1);
    });
  });

  test("WILLNEED splits nothing", () => {
    expect({ written: staysHuge(Madv.WILLNEED, true), zeros: staysHuge(Madv.WILLNEED, false) }).toEqual({ written: true, zeros: true });
  });
});

describe("a migration entry", () => {
  /** Puts a migration entry in place of the mapping of a page, lets `body` look, and puts the page back. */
  const during = (body: (k: Kernel, mm: Mm, addr: number) => MaySleep<void>): void => {
    const k = makeKernel();
    runTask(k, function* (mm) {
      const addr = yield* filled(k, mm, 1);
      const folio = frameOf(k, mm, addr);
      yield* k.swap.folioGet(k, folio, "test");
      if (!(yield* k.folioLock.folioTrylock(k, folio))) throw new Error("it is locked");
      yield* k.rmap.tryToMigrate(k, folio);
      yield* body(k, mm, addr);
      yield* k.migrate.removeMigrationPtes(k, folio, folio);
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "test");
    });
  };

  test("keeps what its page may be used for, and whether it was", () => {
    during(function* (k, mm, addr) {
      const flags = k.m.pt.flags(ptepOf(k, mm, addr));
      expect(swapType(flags)).toBe(27);
      expect(flags & (PTE.SWP_MIG_YOUNG | PTE.SWP_MIG_DIRTY)).toBe(PTE.SWP_MIG_YOUNG | PTE.SWP_MIG_DIRTY);
      yield* k.m.sched.condResched();
    });
  });

  test("counts as resident, and shows in pagemap as a special swap type with the frame", () => {
    during(function* (k, mm, addr) {
      expect(mm.rss[RssKind.anon]).toBe(1);
      const folio = frameOf(k, mm, addr);
      expect([k.m.memmap.mapcount[folio], k.m.memmap.refcount[folio]]).toEqual([0, 1]);
      const out = new DataView(new ArrayBuffer(8));
      yield* k.pagemap.pagemapRange(k, mm, addr / 4096, 1, true, out);
      const entry = out.getBigUint64(0, true);
      expect(entry >> 62n).toBe(1n);
      expect(entry & 31n).toBe(27n);
      expect((entry >> 5n) & ((1n << 50n) - 1n)).toBe(BigInt(k.m.memmap.pageToPfn(folio)));
      expect(yield* k.taskMmu.showSmapsRollup(k, mm)).toMatch(/^Rss: +4 kB$/m);
    });
  });

  test("loses the permission to write with mprotect, whatever the new one is", () => {
    during(function* (k, mm, addr) {
      yield* k.mprotect.doMprotect(k, mm, addr, 4096, Prot.READ);
      yield* k.mprotect.doMprotect(k, mm, addr, 4096, RW);
      expect(swapType(k.m.pt.flags(ptepOf(k, mm, addr)))).toBe(26);
    });
  });

  test("goes with MADV_DONTNEED, and is passed over by MADV_FREE, PAGEOUT and WILLNEED", () => {
    during(function* (k, mm, addr) {
      for (const advice of [Madv.FREE, Madv.PAGEOUT, Madv.COLD, Madv.WILLNEED]) {
        expect(yield* k.madvise.doMadvise(k, mm, addr, 4096, advice)).toBe(0);
        expect(swapType(k.m.pt.flags(ptepOf(k, mm, addr)))).toBe(27);
      }
      expect(yield* k.madvise.doMadvise(k, mm, addr, 4096, Madv.DONTNEED)).toBe(0);
      expect(k.m.pt.isNone(ptepOf(k, mm, addr))).toBe(true);
      expect(mm.rss[RssKind.anon]).toBe(0);
    });
  });
});

describe("a page that a device has exclusively", () => {
  const attempt = (
    overlays: Parameters<typeof makeKernel>[0],
  ): { result: number; moved: boolean; mapcount: number; refcount: number; type: number | null; has: boolean; writable: boolean } => {
    const k = makeKernel(overlays);
    let after: ReturnType<typeof attempt> | null = null;
    runTask(k, function* (mm) {
      const addr = yield* filled(k, mm, 1);
      const dmirror = yield* exclusive(k, mm, addr);
      const old = frameOf(k, mm, addr);
      const result = yield* migrate(k, mm, addr);
      const now = frameOf(k, mm, addr);
      const flags = k.m.pt.flags(ptepOf(k, mm, addr));
      const { memmap } = k.m;
      after = {
        result,
        moved: now !== old,
        mapcount: memmap.mapcount[now]!,
        refcount: memmap.refcount[now]!,
        type: (flags & PTE.SWAP) !== 0 ? swapType(flags) : null,
        has: dmirror.table.size > 0,
        writable: (flags & PTE.W) !== 0,
      };
      // Frames that are counted wrongly cannot be freed: so much for this machine.
      if (memmap.mapcount[now] === 2) {
        memmap.mapcount[now] = memmap.refcount[now] = 1;
      }
    });
    return after!;
  };
  const without = (...names: string[]): Parameters<typeof makeKernel>[0] => ({
    overlays: PATCHES.flatMap((p) => (names.includes(p.name) ? [p.undo!] : [])),
  });
  const release = (name: string): Parameters<typeof makeKernel>[0] => {
    const overlays = resolvePatches({ release: name, without: [] });
    if (typeof overlays === "string") throw new Error(overlays);
    return { overlays };
  };

  test("moves, the device loses it, and a write must fault", () => {
    expect(attempt({})).toEqual({ result: 0, moved: true, mapcount: 1, refcount: 1, type: null, has: false, writable: false });
  });

  test.each(["6.14", "6.1"])("never moves on %s, and the device keeps it", (name) => {
    expect(attempt(release(name))).toMatchObject({ result: 1, moved: false, mapcount: 0, refcount: 1, type: 29, has: true });
  });

  test("never moves where migration cannot replace its entry", () => {
    expect(attempt(without("migrate-exclusive"))).toMatchObject({ result: 1, moved: false, mapcount: 1, refcount: 1, type: 30 });
  });

  test("is counted twice where its entry is then taken for a migration entry", () => {
    expect(attempt(without("migrate-exclusive", "exclusive-not-migration"))).toMatchObject({ moved: false, mapcount: 2, refcount: 2, type: null });
  });
});
