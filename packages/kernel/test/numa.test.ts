import { describe, expect, test } from "vitest";
import { FollFlag, HPAGE_PMD_NR, Madv, MapFlag, Mpol, MpolMf, Prot, PTE, type Kernel, type MaySleep, type Mempolicy, type Mm } from "../src/index.js";
import { makeKernel, runTask, type HarnessOptions } from "./harness.js";

const RW = Prot.READ | Prot.WRITE;
/** Two nodes of a CPU each; tests run on the first. */
const TWO: HarnessOptions = { nodes: 2, cpus: 2, frames: 8192 };

function policy(k: Kernel, mode: number, nodes: number): Mempolicy {
  const made = k.mempolicy.newPolicy(k, mode, nodes);
  if (made === null || typeof made === "number") throw new Error(`no policy: ${String(made)}`);
  return made;
}

/** Writes to memory that is put on a node; its policy is the default one again then. */
function* on(k: Kernel, mm: Mm, node: number, pages: number, flags: number = MapFlag.PRIVATE): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, RW, flags | MapFlag.ANONYMOUS, null, 0);
  return yield* filled(k, mm, addr, node, pages);
}

function* filled(k: Kernel, mm: Mm, addr: number, node: number, pages: number): MaySleep<number> {
  const [from, to] = [addr / 4096, addr / 4096 + pages];
  yield* k.mbind.doMbind(k, mm, from, to, policy(k, Mpol.BIND, 1 << node), 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  yield* k.mbind.doMbind(k, mm, from, to, null, 0);
  yield* k.swap.lruAddDrainAll(k);
  return addr;
}

function* scan(k: Kernel, mm: Mm, addr: number, pages: number): MaySleep<number> {
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const updates = yield* k.protNuma.changeProtNuma(k, mm.vmaAt(addr / 4096)!, addr / 4096, addr / 4096 + pages);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return updates;
}

function entryOf({ m }: Kernel, mm: Mm, addr: number): { flags: number; node: number; huge: boolean } {
  const entry = m.pt.find(mm.pgd, addr / 4096);
  return { flags: m.pt.flags(entry), node: m.nodes.of(m.memmap.pfnToPage(m.pt.pfnFor(entry, addr / 4096))), huge: m.pt.isHuge(entry) };
}

const waits = (k: Kernel, mm: Mm, addr: number): boolean => (entryOf(k, mm, addr).flags & PTE.PROT_NONE) !== 0;

describe("what a scan protects", () => {
  test("pages of the other node, for a program of one thread; all, where there are more", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const [near, far] = [yield* on(k, mm, 0, 4), yield* on(k, mm, 1, 4)];
      expect([yield* scan(k, mm, near, 4), yield* scan(k, mm, far, 4)]).toEqual([0, 4]);
      mm.users++;
      expect([yield* scan(k, mm, near, 4), yield* scan(k, mm, far, 4)]).toEqual([4, 0]);
      mm.users--;
      expect(k.m.vmstat.events.numa_pte_updates).toBe(8);
    });
  });

  test("not the page of zeros, nor what is pinned or shared with a child until somebody writes", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const far = yield* on(k, mm, 1, 4);
      const zeros = yield* k.mmap.doMmap(k, mm, 0, 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
      yield* k.uaccess.getUser32(k, zeros);
      expect(yield* scan(k, mm, zeros, 1)).toBe(0);
      const pinned = yield* k.gupPin.pinUserPageFast(k, far / 4096, FollFlag.WRITE, "test");
      expect([yield* scan(k, mm, far, 4), waits(k, mm, far), waits(k, mm, far + 4096)]).toEqual([3, false, true]);
      yield* k.gupPin.unpinUserPage(k, pinned, true, "test");
      const shared = yield* on(k, mm, 1, 2);
      const child = yield* k.fork.dupMm(k, mm);
      expect(yield* scan(k, mm, shared, 2)).toBe(0);
      // What waits already waits in the child as well, and becomes readable there.
      expect(waits(k, child!, far + 4096)).toBe(true);
      yield* k.mmap.exitMmap(k, child!);
    });
  });

  test("a huge page as one, and a part of it page by page", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const room = yield* k.mmap.doMmap(k, mm, 0, 3 * HPAGE_PMD_NR * 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
      const addr = Math.ceil(room / (HPAGE_PMD_NR * 4096)) * HPAGE_PMD_NR * 4096;
      yield* k.madvise.doMadvise(k, mm, addr, HPAGE_PMD_NR * 4096, Madv.HUGEPAGE);
      yield* filled(k, mm, addr, 1, HPAGE_PMD_NR);
      expect(entryOf(k, mm, addr)).toMatchObject({ node: 1, huge: true });
      expect([yield* scan(k, mm, addr, HPAGE_PMD_NR), k.m.vmstat.events.numa_huge_pte_updates]).toEqual([HPAGE_PMD_NR, 1]);
      expect(yield* k.uaccess.getUser32(k, addr + 8192)).toBe(3);
      expect(entryOf(k, mm, addr)).toMatchObject({ node: 0, huge: true });
      const { numa_pages_migrated, thp_migration_success, numa_hint_faults } = k.m.vmstat.events;
      expect([numa_pages_migrated, thp_migration_success, numa_hint_faults]).toEqual([HPAGE_PMD_NR, 1, 1]);
      mm.users++;
      expect([yield* scan(k, mm, addr, 8), entryOf(k, mm, addr).huge]).toEqual([8, false]);
      mm.users--;
      // All of the folio that waits is given back by one fault.
      expect([yield* k.uaccess.getUser32(k, addr), waits(k, mm, addr + 7 * 4096)]).toEqual([1, false]);
    });
  });
});

test("pages become one on the node that most of them are on", () => {
  const k = makeKernel(TWO);
  runTask(k, function* (mm) {
    const room = yield* k.mmap.doMmap(k, mm, 0, 3 * HPAGE_PMD_NR * 4096, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    const addr = Math.ceil(room / (HPAGE_PMD_NR * 4096)) * HPAGE_PMD_NR * 4096;
    yield* filled(k, mm, addr, 1, HPAGE_PMD_NR);
    yield* k.mbind.doMbind(k, mm, addr / 4096, addr / 4096 + 100, policy(k, Mpol.BIND, 1), MpolMf.MOVE);
    yield* k.mbind.doMbind(k, mm, addr / 4096, addr / 4096 + 100, null, 0);
    yield* k.swap.lruAddDrainAll(k);
    expect([entryOf(k, mm, addr).node, entryOf(k, mm, addr + 100 * 4096).node]).toEqual([0, 1]);
    expect(yield* k.madvise.doMadvise(k, mm, addr, HPAGE_PMD_NR * 4096, Madv.COLLAPSE)).toBe(0);
    expect(entryOf(k, mm, addr)).toMatchObject({ node: 1, huge: true });
  });
});

describe("a hinting fault", () => {
  test("moves the page, and maps it for writing, as it was", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const far = yield* on(k, mm, 1, 2);
      yield* scan(k, mm, far, 2);
      expect([yield* k.uaccess.getUser32(k, far), entryOf(k, mm, far).node]).toEqual([1, 0]);
      yield* k.uaccess.putUser32(k, far + 4096, 7);
      expect([yield* k.uaccess.getUser32(k, far + 4096), entryOf(k, mm, far + 4096).node]).toEqual([7, 0]);
      const { numa_hint_faults, numa_hint_faults_local, numa_pages_migrated, pgmigrate_success } = k.m.vmstat.events;
      expect([numa_hint_faults, numa_hint_faults_local, numa_pages_migrated, pgmigrate_success]).toEqual([2, 0, 2, 2]);
    });
  });

  test("leaves a page where it is that somebody refers to, and maps it; without W, which the next write gives it", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const far = yield* on(k, mm, 1, 1);
      yield* scan(k, mm, far, 1);
      const held = yield* k.gup.getUserPageFast(k, far / 4096, 0, "test");
      expect(waits(k, mm, far)).toBe(true);
      yield* k.uaccess.getUser32(k, far);
      expect([entryOf(k, mm, far).node, waits(k, mm, far), entryOf(k, mm, far).flags & PTE.W]).toEqual([1, false, 0]);
      yield* k.uaccess.putUser32(k, far, 2);
      expect(entryOf(k, mm, far).flags & PTE.W).not.toBe(0);
      yield* k.swap.folioPut(k, held, "test");
      expect([k.m.vmstat.events.numa_pages_migrated, k.m.vmstat.events.pgmigrate_fail]).toEqual([0, 1]);
    });
  });

  test("does nothing of the kind where the memory's policy does not let it move", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      const far = yield* on(k, mm, 1, 1);
      yield* scan(k, mm, far, 1);
      yield* k.mbind.doMbind(k, mm, far / 4096, far / 4096 + 1, policy(k, Mpol.PREFERRED, 2), 0);
      yield* k.uaccess.putUser32(k, far, 5);
      expect([entryOf(k, mm, far).node, waits(k, mm, far), k.m.vmstat.events.numa_hint_faults]).toEqual([1, false, 1]);
      // And moved by hand it is there.
      expect(yield* k.mbind.doMbind(k, mm, far / 4096, far / 4096 + 1, policy(k, Mpol.BIND, 1), MpolMf.MOVE | MpolMf.STRICT)).toBe(0);
      expect([entryOf(k, mm, far).node, yield* k.uaccess.getUser32(k, far)]).toEqual([0, 5]);
    });
  });
});
