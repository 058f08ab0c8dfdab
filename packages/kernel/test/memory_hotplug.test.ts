import { describe, expect, test } from "vitest";
import { Errno, Madv, MapFlag, O, PG, Prot, SI, Sig, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { Ratelimit } from "../src/kernel/ratelimit.js";
import { KPF, stablePageFlags } from "../src/fs/proc/page.js";
import { GFP_HIGHUSER_MOVABLE, GFP_KERNEL } from "../src/mm/gfp.js";
import { MEMORY_BLOCK_PAGES, ZoneId } from "../src/mm/zone.js";
import { cat, echo, ls, makeFs, open } from "./fs_harness.js";

const MEMORY = "/sys/devices/system/memory";
/** The third of four blocks: RAM begins with block 16. */
const BLOCK = `${MEMORY}/memory18`;
const FIRST = 2 * MEMORY_BLOCK_PAGES;
const PAGES = 256;
const HPAGE_SIZE = 2 ** 21;

const machine = (pageOwner = false): ReturnType<typeof makeFs> => makeFs({ frames: 4 * MEMORY_BLOCK_PAGES, pageOwner });

function* movableBlock(k: Kernel): MaySleep<void> {
  expect(yield* echo(k, "offline", `${BLOCK}/state`)).toBe(8);
  expect(yield* echo(k, "online_movable", `${BLOCK}/state`)).toBe(15);
}

function* filled(k: Kernel, mm: Mm): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, PAGES * 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  for (let i = 0; i < PAGES; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i + 1);
  return addr;
}

/** How many of the pages lie in the block. */
function inBlock(k: Kernel, mm: Mm, addr: number): number {
  let n = 0;
  for (let i = 0; i < PAGES; i++) {
    const page = k.m.memmap.pfnToPage(k.m.pt.pfn(k.m.pt.lookup(mm.pgd, addr / 4096 + i)));
    if (page >= FIRST && page < FIRST + MEMORY_BLOCK_PAGES) n++;
  }
  return n;
}

const kb = (text: string | number, name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(String(text))![1]);

describe("sysfs", () => {
  test("has a directory for each block, with what Linux has in it", () => {
    const { k, run } = machine();
    run(function* () {
      expect(yield* ls(k, MEMORY)).toEqual(["auto_online_blocks", "memory19", "block_size_bytes", "memory17", "memory18", "memory16"]);
      expect(yield* cat(k, `${MEMORY}/block_size_bytes`)).toBe("8000000\n");
      for (const [name, value] of [
        ["state", "online"],
        ["online", "1"],
        ["phys_index", "00000012"],
        ["phys_device", "0"],
        ["removable", "1"],
        ["valid_zones", "DMA32"],
      ]) {
        expect(yield* cat(k, `${BLOCK}/${name}`), name).toBe(`${value}\n`);
      }
    });
  });

  test("answers what cannot be done as Linux does", () => {
    const { k, run } = machine();
    run(function* () {
      const state = `${BLOCK}/state`;
      expect(yield* echo(k, "on", state)).toBe(-Errno.EINVAL);
      expect(yield* echo(k, "online", state)).toBe(-Errno.EINVAL);
      expect(yield* echo(k, "1", `${BLOCK}/online`)).toBe(2);
      expect(yield* echo(k, "maybe", `${BLOCK}/online`)).toBe(-Errno.EINVAL);
      expect(yield* echo(k, "0", `${BLOCK}/removable`)).toBe(-Errno.EACCES);
      expect(yield* echo(k, "offline", state)).toBe(8);
      expect(yield* echo(k, "offline", state)).toBe(-Errno.EINVAL);
      expect(yield* cat(k, `${BLOCK}/online`)).toBe("0\n");
      expect(yield* cat(k, `${BLOCK}/valid_zones`)).toBe("DMA32 Movable\n");
      expect(yield* echo(k, "0", `${BLOCK}/online`)).toBe(2);
      expect(yield* echo(k, "y", `${BLOCK}/online`)).toBe(2);
      expect(yield* cat(k, state)).toBe("online\n");
      expect(yield* echo(k, "online_movable", `${MEMORY}/auto_online_blocks`)).toBe(15);
      expect(yield* echo(k, "never", `${MEMORY}/auto_online_blocks`)).toBe(-Errno.EINVAL);
      expect(yield* cat(k, `${MEMORY}/auto_online_blocks`)).toBe("online_movable\n");
    });
  });
});

test("a block that is offline is no memory, and comes back", () => {
  const { k, run } = machine();
  run(function* () {
    const before = yield* cat(k, "/proc/meminfo");
    expect(yield* echo(k, "offline", `${BLOCK}/state`)).toBe(8);
    const without = yield* cat(k, "/proc/meminfo");
    expect(kb(before, "MemTotal") - kb(without, "MemTotal")).toBe(131_072);
    expect(kb(without, "MemFree")).toBeLessThan(kb(without, "MemTotal"));
    expect(k.m.zones.list[ZoneId.DMA32]!.isolatedPageblocks).toBe(0);
    expect(yield* echo(k, "online_kernel", `${BLOCK}/state`)).toBe(14);
    expect(kb(yield* cat(k, "/proc/meminfo"), "MemTotal")).toBe(kb(before, "MemTotal"));
    expect(yield* cat(k, `${BLOCK}/valid_zones`)).toBe("DMA32\n");
  });
});

test("what can be moved goes to ZONE_MOVABLE first, and page tables never do", () => {
  const { k, run } = machine();
  run(function* (mm) {
    yield* movableBlock(k);
    expect(k.m.dmesg.lines.some((line) => / Built 1 zonelists, mobility grouping on\. {2}Total pages: \d+$/.test(line))).toBe(true);
    const addr = yield* filled(k, mm);
    expect(inBlock(k, mm, addr)).toBe(PAGES);
    for (let page = FIRST; page < FIRST + MEMORY_BLOCK_PAGES; page++) expect(k.m.memmap.has(page, PG.table)).toBe(false);
    expect(k.m.vmstat.events.pgalloc_movable).toBeGreaterThanOrEqual(PAGES);
  });
});

test("the huge page of zeros, which stays where it is, is not in ZONE_MOVABLE", () => {
  const { k, run } = machine();
  run(function* (mm) {
    yield* movableBlock(k);
    const length = 2 * HPAGE_SIZE;
    const mapped = yield* k.mmap.doMmap(k, mm, 0, length, Prot.READ, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    const addr = Math.ceil(mapped / HPAGE_SIZE) * HPAGE_SIZE;
    expect(yield* k.madvise.doMadvise(k, mm, mapped, length, Madv.HUGEPAGE)).toBe(0);
    expect(yield* k.uaccess.getUser32(k, addr)).toBe(0);
    const folio = k.m.thp.hugeZeroFolio;
    expect(k.m.memmap.order[folio]).toBe(9);
    expect(k.m.zones.zoneOf(folio).id).toBe(ZoneId.DMA32);
    const flags = stablePageFlags(k, k.m.memmap.pageToPfn(folio + 1));
    expect(flags).toBe((1n << BigInt(KPF.ZERO_PAGE)) | (1n << BigInt(KPF.THP)) | (1n << BigInt(KPF.COMPOUND_TAIL)));
    expect(yield* echo(k, "offline", `${BLOCK}/state`)).toBe(8);
  });
});

test("when ZONE_MOVABLE is full, memory comes from the zones below", () => {
  const { k, run } = machine();
  run(function* (mm) {
    yield* movableBlock(k);
    const pages = MEMORY_BLOCK_PAGES + 1000;
    const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, 1);
    const zone = k.m.zones.list[ZoneId.Movable]!;
    expect(zone.free).toBeGreaterThanOrEqual(zone.min);
    expect(zone.free).toBeLessThanOrEqual(zone.low + 64);
    expect(k.m.vmstat.events.pgscan_direct + k.m.vmstat.events.pgscan_kswapd).toBe(0);
  });
});

test.each([
  ["the kernel's own pages", GFP_KERNEL, ZoneId.DMA32],
  ["pages of programs", GFP_HIGHUSER_MOVABLE, ZoneId.Movable],
])("reclaim for %s takes from zones that such pages may have", (_what, gfp, zone) => {
  const { k, run } = machine();
  run(function* (mm) {
    yield* movableBlock(k);
    // The oldest pages are those of ZONE_MOVABLE.
    const pages = MEMORY_BLOCK_PAGES + 1000;
    const addr = yield* k.mmap.doMmap(k, mm, 0, pages * 4096, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
    for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * 4096, i);
    yield* k.swap.lruAddDrainAll(k);
    for (let i = 0; i < 4; i++) yield* k.vmscan.tryToFreePages(k, gfp);
    const cached = [...k.m.swap.cache].filter((folio) => folio >= 0);
    expect(cached.length).toBeGreaterThan(0);
    for (const folio of cached) expect(k.m.zones.zoneOf(folio).id).toBe(zone);
  });
});

test("offlining moves what is in use, and nothing is lost", () => {
  const { k, run } = machine();
  run(function* (mm) {
    yield* movableBlock(k);
    const addr = yield* filled(k, mm);
    expect(yield* echo(k, "offline", `${BLOCK}/state`)).toBe(8);
    expect(yield* cat(k, `${BLOCK}/state`)).toBe("offline\n");
    expect(inBlock(k, mm, addr)).toBe(0);
    for (let i = 0; i < PAGES; i++) expect(yield* k.uaccess.getUser32(k, addr + i * 4096)).toBe(i + 1);
    expect(k.m.vmstat.events.pgmigrate_success).toBe(PAGES);
    // On no list of any kind: the block could be pulled out.
    for (let page = FIRST; page < FIRST + MEMORY_BLOCK_PAGES; page++) {
      expect(k.m.memmap.refcount[page]! + (k.m.memmap.flags[page]! & (PG.buddy | PG.lru))).toBe(0);
    }
    expect(yield* echo(k, "online", `${BLOCK}/state`)).toBe(7);
  });
});

test("a block with a page of the kernel's own is busy, and the log shows the page", () => {
  const { k, run } = machine();
  run(function* () {
    expect(yield* echo(k, "offline", `${MEMORY}/memory16/state`)).toBe(-Errno.EBUSY);
    expect(yield* cat(k, `${MEMORY}/memory16/state`)).toBe("online\n");
    const log = k.m.dmesg.lines.map((line) => line.slice(15));
    expect(log[0]).toBe("page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x80000");
    expect(log[1]).toBe("flags: 0x2000(reserved|node=0|zone=0)");
    expect(log.at(-1)).toBe("page dumped because: unmovable page");
  });
});

/** Offlining meets pages that somebody holds, until a signal comes. */
function stuck(pageOwner: boolean): { k: Kernel; result: number; left: number; log: string[] } {
  const { k, run } = machine(pageOwner);
  const outcome = run(function* (mm) {
    yield* movableBlock(k);
    const addr = yield* filled(k, mm);
    const held = [0, 1, 2].map((i) => k.m.memmap.pfnToPage(k.m.pt.pfn(k.m.pt.lookup(mm.pgd, addr / 4096 + i))));
    for (const folio of held) yield* k.swap.folioGet(k, folio, "test");
    const task = k.m.current!;
    k.m.sched.addTimer(k.m.now() + 20_000_000, false, () => {
      k.m.signals.send(task.process!, task, { signo: Sig.SIGINT, code: SI.USER, addr: 0 });
    });
    k.m.dmesg.lines.length = 0;
    const result = yield* echo(k, "offline", `${BLOCK}/state`);
    task.pendingSignals.clear();
    expect(yield* cat(k, `${BLOCK}/state`)).toBe("online\n");
    // What was free in the block is to be had again, and lists are kept again.
    const zone = k.m.zones.list[ZoneId.Movable]!;
    expect([zone.isolatedPageblocks, zone.pcpDisabled, k.m.batches.disabled]).toEqual([0, 0, 0]);
    expect(zone.free).toBe(MEMORY_BLOCK_PAGES - held.length);
    for (let i = 0; i < PAGES; i++) expect(yield* k.uaccess.getUser32(k, addr + i * 4096)).toBe(i + 1);
    for (const folio of held) yield* k.swap.folioPut(k, folio, "test");
    return { result, left: inBlock(k, mm, addr) };
  });
  return { k, ...outcome, log: k.m.dmesg.lines.map((line) => line.slice(15)) };
}

describe("a page that somebody holds", () => {
  test("keeps offlining at it until a signal comes; then all is as it was", () => {
    const { result, left, log } = stuck(false);
    expect([result, left]).toEqual([-Errno.EINTR, 3]);
    const pfn = /^migrating pfn ([\da-f]+) failed ret:3$/.exec(log[0]!)![1];
    expect(log[1]).toMatch(new RegExp(`^page: refcount:3 mapcount:1 mapping:0000000000000000 index:0x[\\da-f]+ pfn:0x${pfn}$`));
    expect(log[2]).toMatch(/^memcg:ffffffd6[\da-f]{8}$/);
    expect(log[3]).toMatch(/^anon flags: 0x20000000000[\da-f]+\((\w+\|)*uptodate\|(\w+\|)*swapbacked\|node=0\|zone=2\)$/);
    expect(log[4]).toMatch(/^raw: [\da-f]{16} dead000000000100 dead000000000122 [\da-f]{16}$/);
    expect(log[5]).toMatch(/^raw: ([\da-f]{16} ){2}00000003[\da-f]{8} [\da-f]{16}$/);
    expect(log[6]).toBe("page dumped because: migration failure");
    expect(log[7]).toMatch(/^migrating pfn [\da-f]+ failed ret:3$/);
  });

  test("is dumped ten times in five seconds", () => {
    expect(stuck(false).log.filter((line) => line.startsWith("migrating pfn"))).toHaveLength(10);
    const { m } = makeFs().k;
    const limit = new Ratelimit(m, "do_migrate_range");
    const allowed = (): number => Array.from({ length: 12 }, () => limit.allows()).filter(Boolean).length;
    expect(allowed()).toBe(10);
    m.advanceTo(m.now() + 5_000_000_001);
    expect(allowed()).toBe(10);
    expect(m.dmesg.lines.at(-1)).toMatch(/ do_migrate_range: 2 callbacks suppressed$/);
  });

  test("has its owner in the log", () => {
    const { k, log } = stuck(true);
    const at = log.indexOf("page_owner tracks the page as allocated");
    expect(log[at + 1]).toMatch(
      /^page last allocated via order 0, migratetype Movable, gfp_mask 0x140dca\(GFP_HIGHUSER_MOVABLE\|__GFP_ZERO\|__GFP_COMP\), pid 100, tgid 100 \(test\), ts \d+, free_ts \d+$/,
    );
    const chain = log.slice(at + 2, log.findIndex((line, i) => i > at && line.startsWith("page_owner free")));
    expect(chain).toContain(" do_anonymous_page");
    expect(chain).toContain(" handle_mm_fault");
    for (const line of chain) expect(k.m.ftrace!.names).toContain(line.slice(1));
  });
});

describe("/proc", () => {
  test("zoneinfo, buddyinfo and pagetypeinfo agree with each other", () => {
    const { k, run } = machine();
    run(function* (mm) {
      yield* movableBlock(k);
      yield* filled(k, mm);
      const zoneinfo = String(yield* cat(k, "/proc/zoneinfo"));
      const buddyinfo = String(yield* cat(k, "/proc/buddyinfo"));
      const types = String(yield* cat(k, "/proc/pagetypeinfo"));
      for (const name of ["DMA32", "Movable"]) {
        const row = new RegExp(`^Node 0, zone ${name.padStart(8)}((?: +\\d+){11}) $`, "m").exec(buddyinfo)![1]!;
        const orders = row.trim().split(/ +/).map(Number);
        const free = orders.reduce((sum, n, order) => sum + (n << order), 0);
        expect(zoneinfo).toContain(`zone ${name.padStart(8)}\n`);
        expect(zoneinfo).toContain(`  pages free     ${free}\n`);
        const byType = [...types.matchAll(new RegExp(`^Node    0, zone ${name.padStart(8)}, type +(\\w+)((?: +\\d+){11}) $`, "gm"))];
        expect(byType.map((m) => m[1])).toEqual(["Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate"]);
        const sums = orders.map((_, order) => byType.reduce((sum, m) => sum + Number(m[2]!.trim().split(/ +/)[order]), 0));
        expect(sums).toEqual(orders);
      }
      expect(types).toMatch(/^Number of blocks type {5}Unmovable {6}Movable {2}Reclaimable {3}HighAtomic {6}Isolate $/m);
      expect(types).toMatch(/^Node 0, zone {2}Movable {12}0 {11}64 {12}0 {12}0 {12}0 $/m);
      expect(zoneinfo).toMatch(/^Node 0, zone {4}DMA32\n {2}per-node stats\n {6}nr_inactive_anon \d+\n/);
      expect(zoneinfo).toMatch(/^ {8}promo {4}\d+\n {8}spanned {2}131072\n {8}present {2}98304\n {8}managed {2}\d+\n {8}cma {6}0\n {8}protection: \(0, 0, 128, 128\)\n/m);
      expect(zoneinfo).toMatch(/^ {4}cpu: 0\n {14}count: {4}\d+\n {14}high: {5}\d+\n {14}batch: {4}\d+\n/m);
      expect(zoneinfo).toMatch(/^ {2}node_unreclaimable: {2}0\n {2}start_pfn: {11}589824\n/m);
    });
  });

  test("iomem has RAM and the kernel in it", () => {
    const { k, run } = machine();
    run(function* () {
      expect(String(yield* cat(k, "/proc/iomem")).split("\n")).toEqual([
        "80000000-9fffffff : System RAM",
        expect.stringMatching(/^ {2}80000000-80[\da-f]{6} : Kernel code$/) as string,
        expect.stringMatching(/^ {2}80[\da-f]{6}-80[\da-f]{6} : Kernel data$/) as string,
        expect.stringMatching(/^ {2}80[\da-f]{6}-80[\da-f]{6} : Reserved$/) as string,
        "",
      ]);
    });
  });

  test("kpageflags and kpagecount say what each frame is", () => {
    const { k, run } = machine();
    run(function* (mm) {
      const addr = yield* filled(k, mm);
      yield* k.swap.lruAddDrainAll(k);
      const flags = yield* open(k, "/proc/kpageflags", O.RDONLY);
      const counts = yield* open(k, "/proc/kpagecount", O.RDONLY);
      const read = function* (file: typeof flags, pfn: number): MaySleep<bigint> {
        const bytes = new Uint8Array(8);
        yield* k.m.vfs.lseek(k, file, pfn * 8, 0);
        expect(yield* k.m.vfs.read(k, file, bytes)).toBe(8);
        return new DataView(bytes.buffer).getBigUint64(0, true);
      };
      const has = (value: bigint): string[] => Object.values(KPF).filter((v): v is string => typeof v === "string" && ((value >> BigInt(KPF[v as keyof typeof KPF])) & 1n) === 1n);
      const { memmap, zones } = k.m;
      const anon = k.m.pt.pfn(k.m.pt.lookup(mm.pgd, addr / 4096));
      expect(has(yield* read(flags, anon)).sort()).toEqual(["ANON", "LRU", "MMAP", "OWNER_2", "SWAPBACKED", "UPTODATE"]);
      expect(yield* read(counts, anon)).toBe(1n);
      const table = memmap.flags.findIndex((f) => (f & PG.table) !== 0);
      expect(has(yield* read(flags, memmap.pageToPfn(table)))).toEqual(["PGTABLE"]);
      expect(has(yield* read(flags, memmap.pageToPfn(zones.zeroPage))).sort()).toEqual(["RESERVED", "ZERO_PAGE"]);
      expect(has(yield* read(flags, memmap.pageToPfn(3 * MEMORY_BLOCK_PAGES - 1024)))).toEqual(["BUDDY"]);
      expect(has(yield* read(flags, 0))).toEqual(["NOPAGE"]);
      expect(yield* echo(k, "offline", `${BLOCK}/state`)).toBe(8);
      expect(has(yield* read(flags, memmap.pageToPfn(FIRST)))).toEqual(["NOPAGE"]);
      expect(yield* k.m.vfs.read(k, flags, new Uint8Array(7))).toBe(-Errno.EINVAL);
      yield* k.m.vfs.put(k, flags);
      yield* k.m.vfs.put(k, counts);
    });
  });
});

test("a page table that is freed while somebody looks at its page is freed once", () => {
  const { k, run } = machine();
  run(function* () {
    const { memmap, vmstat } = k.m;
    const { pageTables } = vmstat.pages;
    const table = yield* k.pageAlloc.allocTable(k);
    expect(yield* k.swap.folioTryGet(k, table, "test")).toBe(true);
    yield* k.pageAlloc.freeTable(k, table);
    expect(vmstat.pages.pageTables).toBe(pageTables);
    expect([memmap.refcount[table], memmap.has(table, PG.table)]).toEqual([1, false]);
    const { pgfree } = vmstat.events;
    yield* k.swap.folioPut(k, table, "test");
    expect([memmap.refcount[table], vmstat.events.pgfree - pgfree, memmap.memcg[table]]).toEqual([0, 1, 0]);
  });
});
