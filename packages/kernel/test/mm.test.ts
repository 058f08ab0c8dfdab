import { expect, test } from "vitest";
import {
  Dmirror,
 
  Errno,
  MapFlag,
  NotifyEvent,
  Prot,
  RssKind,
  type Kernel,
  type MaySleep,
  type Mm,
  type NotifierRange,
} from "../src/index.js";
import { GFP_HIGHUSER_MOVABLE, GFP_KERNEL } from "../src/mm/gfp.js";
import { makeKernel, runTask } from "./harness.js";

const RW = Prot.READ | Prot.WRITE;
const ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS;

function* fill(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, RW, ANON, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  yield* k.swap.lruAddDrainAll(k);
  return addr;
}

test("MAP_POPULATE gives private writable memory pages of its own", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    yield* k.mmap.doMmap(k, mm, 0, 8 * 4096, RW, ANON | MapFlag.POPULATE, null, 0);
    expect(mm.rss[RssKind.anon]).toBe(8);
  });
});

test("a cgroup that may not swap is not scanned in vain", () => {
  const k = makeKernel();
  const { root } = k.m.memcgs;
  runTask(k, function* (mm) {
    yield* fill(k, mm, 64);
    root.swapMax = 0;
    expect(yield* k.vmscan.memoryReclaim(k, root, 8)).toBe(-Errno.EAGAIN);
    expect(root.swapEvents).toEqual({ high: 0, max: 0, fail: 0 });
    expect(root.counters.pgscan).toBe(0);
  });
});

test("what is swapped in is charged to whom its slot is", () => {
  const k = makeKernel();
  const owner = k.m.memcgs.create(k.m.memcgs.root, "owner");
  runTask(k, function* (mm) {
    const task = k.m.current!;
    const { memcg } = task;
    task.memcg = owner;
    const addr = yield* fill(k, mm, 16);
    expect(yield* k.vmscan.memoryReclaim(k, owner, 16)).toBe(0);
    task.memcg = memcg;
    expect(yield* k.uaccess.getUser32(k, addr)).toBe(1);
    expect(owner.counters).toMatchObject({ anon: 1 });
    expect(owner.counters.pswpin).toBeGreaterThan(0);
  });
});

test("who subscribes during an invalidation waits for its end, and for that of the next", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const range: NotifierRange = { mm, startVpn: 16, endVpn: 17, event: NotifyEvent.CLEAR, owner: null };
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    const dmirror = new Dmirror(k, k.testHmm.initTestHmm(k, 1)[0]!, mm);
    yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
    expect(dmirror.notifier.invalidateSeq).toBe(mm.invalidateSeq);
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    expect(mm.invalidateSeq % 2).toBe(1);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    expect(mm.invalidateSeq % 2).toBe(0);
    yield* k.mmuNotifier.intervalRemove(k, dmirror.notifier);
  });
});

test("mprotect answers bad ranges as Linux does", () => {
  const k = makeKernel();
  runTask(k, function* (mm) {
    const addr = yield* fill(k, mm, 2);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, -1, Prot.READ)).toBe(-Errno.ENOMEM);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, -4096, Prot.READ)).toBe(-Errno.ENOMEM);
    expect(yield* k.mprotect.doMprotect(k, mm, -8192, 4096, Prot.READ)).toBe(-Errno.ENOMEM);
    expect(yield* k.mprotect.doMprotect(k, mm, addr + 1, 4096, Prot.READ)).toBe(-Errno.EINVAL);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, 4096, 16)).toBe(-Errno.EINVAL);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, 0, 16)).toBe(0);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, 4096, RW | Prot.SEM)).toBe(0);
    expect(yield* k.mprotect.doMprotect(k, mm, addr, 3 * 4096, RW)).toBe(-Errno.ENOMEM);
  });
});

test("no per-CPU list of free pages grows while another is drained", () => {
  const k = makeKernel({ frames: 8192 });
  const { zones } = k.m;
  runTask(k, function* () {
    const unmovable: number[] = [];
    const movable: number[] = [];
    for (let i = 0; i < 200; i++) {
      unmovable.push(yield* k.pageAlloc.allocPage(k, GFP_KERNEL));
      movable.push(yield* k.pageAlloc.allocPage(k, GFP_HIGHUSER_MOVABLE));
    }
    let longest = 0;
    for (let i = 0; i < 200; i++) {
      for (const page of [unmovable[i]!, movable[i]!]) {
        yield* k.swap.folioPut(k, page, "alloc");
        longest = Math.max(longest, zones.pcpFor(0, page).count);
      }
    }
    expect(longest).toBeLessThanOrEqual(zones.batch * 4 + 1);
  });
});
