import { expect, test } from "vitest";
import { Dmirror, MapFlag, Prot, resolvePatches, RssKind, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { makeKernel, runTask } from "./harness.js";

const PAGES = 512;

/** What the reproducer of the 2025 series does, in pages: populated, exclusive, reclaimed, checked. */
function* story(k: Kernel, mm: Mm): MaySleep<Record<string, unknown>> {
  const { m } = k;
  const addr = yield* k.mmap.doMmap(k, mm, 0, PAGES * 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  expect(addr).toBeGreaterThan(0);
  for (let i = 0; i < PAGES; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  const populated = mm.rss[RssKind.anon];
  const device = k.testHmm.initTestHmm(k, 1)[0]!;
  const dmirror = new Dmirror(k, device, mm);
  yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const made = yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, addr / 4096, addr / 4096 + PAGES);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  const exclusive = dmirror.table.size;
  const answer = yield* k.vmscan.memoryReclaim(k, m.memcgs.root, PAGES);
  const rss = mm.rss[RssKind.anon];
  const used = m.swap.used;
  const valid = dmirror.table.size;
  let intact = 0;
  for (let i = 0; i < PAGES; i++) if ((yield* k.uaccess.getUser32(k, addr + i * 4096)) === i + 1) intact++;
  yield* k.mmuNotifier.intervalRemove(k, dmirror.notifier);
  return { populated, made, exclusive, answer, rss, used, valid, intact };
}

test("exclusive pages are swapped out on the newest kernel", () => {
  const k = makeKernel();
  expect(runTask(k, (mm) => story(k, mm))).toEqual({
    populated: PAGES,
    made: 0,
    exclusive: PAGES,
    answer: 0,
    rss: 0,
    used: PAGES,
    valid: 0,
    intact: PAGES,
  });
});

test("before the series they stay, and swap is burned", () => {
  const overlays = resolvePatches({ release: "6.14", without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const k = makeKernel({ overlays });
  expect(runTask(k, (mm) => story(k, mm))).toEqual({
    populated: PAGES,
    made: 0,
    exclusive: PAGES,
    answer: -11,
    rss: PAGES,
    used: PAGES,
    valid: PAGES,
    intact: PAGES,
  });
});

test("everything is free again after exit", () => {
  const k = makeKernel();
  const before = k.m.zones.freePages();
  runTask(k, (mm) => story(k, mm));
  const cached = k.m.zones.pcpPages();
  expect(k.m.zones.freePages() + cached).toBe(before);
  expect(k.m.swap.used).toBe(0);
  expect(k.m.memcgs.root.usage).toBeLessThanOrEqual(64);
});
