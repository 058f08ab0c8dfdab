import { expect, test } from "vitest";
import { Dmirror, Errno, FollFlag, MapFlag, maxThreads, Prot, PTE, Rlimit, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { O, SEEK_END, SEEK_SET } from "../src/fs/vfs.js";
import { cat, echo, ls, makeFs, open } from "./fs_harness.js";

const PAGE = 4096;

function* mapAnon(k: Kernel, mm: Mm, pages: number, prot: number = Prot.READ | Prot.WRITE): MaySleep<number> {
  return yield* k.mmap.doMmap(k, mm, 0, pages * PAGE, prot, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
}

function* touch(k: Kernel, addr: number, pages: number): MaySleep<void> {
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * PAGE, i + 1);
}

/** The kB (or plain) values of lines `Name: N kB`. */
function fields(text: string | number): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [, name, value] of String(text).matchAll(/^(\S+):\s+(\d+)/gm)) out[name!] = Number(value);
  return out;
}

test("maps has Linux's columns", () => {
  const { k, run } = makeFs();
  run(function* (mm) {
    const top = yield* k.mmap.setupStack(k, mm, 8 << 20);
    const addr = yield* mapAnon(k, mm, 4);
    const text = String(yield* cat(k, "/proc/self/maps"));
    const lines = text.split("\n");
    const hex = (n: number) => n.toString(16).padStart(8, "0");
    expect(lines[0]).toBe(`${hex(addr)}-${hex(addr + 4 * PAGE)} rw-p 00000000 00:00 0 `);
    expect(lines[1]).toMatch(/^[0-9a-f]+-[0-9a-f]+ rw-p 00000000 00:00 0 +\[stack\]$/);
    expect(lines[1]!.indexOf("[stack]")).toBe(73);
    expect(lines[1]).toContain(`-${hex(Math.ceil(top / PAGE) * PAGE)} `);
    expect(lines[2]).toBe("");
  });
});

test("smaps and smaps_rollup, also while a device holds the pages exclusively and after reclaim", () => {
  const { k, run } = makeFs();
  const { m } = k;
  run(function* (mm) {
    const addr = yield* mapAnon(k, mm, 16);
    yield* touch(k, addr, 8);
    yield* k.uaccess.getUser32(k, addr + 9 * PAGE); // the zero page: counts nowhere
    const smaps = String(yield* cat(k, "/proc/self/smaps"));
    expect(smaps).toContain("\nSize:                 64 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:                  32 kB\n");
    expect(smaps).toContain("\nLocked:                0 kB\nTHPeligible:           0\nVmFlags: rd wr mr mw me ac sd \n");
    expect(fields(smaps)).toMatchObject({ Rss: 32, Pss: 32, Pss_Dirty: 32, Private_Dirty: 32, Referenced: 32, Anonymous: 32, Swap: 0 });
    const rollup = String(yield* cat(k, "/proc/self/smaps_rollup"));
    expect(rollup.split("\n")[0]!.slice(-28)).toBe("00:00 0                          [rollup]".slice(-28));
    expect(rollup.split("\n")[0]!.indexOf("[rollup]")).toBe(73);
    expect(rollup).toContain("Pss_Anon:             32 kB\nPss_File:              0 kB\nPss_Shmem:             0 kB\nShared_Clean:");

    const dmirror = new Dmirror(k, k.testHmm.initTestHmm(k, 1)[0]!, mm);
    yield* k.mmuNotifier.intervalInsert(k, dmirror.notifier);
    mm.mmapLock.tryRead();
    expect(yield* k.testHmm.dmirrorMakeExclusive(k, dmirror, addr / PAGE, addr / PAGE + 8)).toBe(0);
    yield* mm.mmapLock.unlock();
    expect(fields(yield* cat(k, "/proc/self/smaps_rollup"))).toMatchObject({ Rss: 32, Anonymous: 32, Swap: 0 });
    const buffer = new Uint8Array(8 * 2);
    const pagemap = yield* open(k, "/proc/self/pagemap", O.RDONLY);
    expect(yield* m.vfs.read(k, pagemap, buffer, (addr / PAGE) * 8)).toBe(16);
    const exclusive = new DataView(buffer.buffer).getBigUint64(0, true);
    expect(exclusive >> 62n).toBe(1n);
    expect(exclusive & 31n).toBe(30n);

    // Eight folios would still be in this CPU's batch, where reclaim does not see them.
    yield* k.swap.lruAddDrainAll(k);
    expect(yield* echo(k, "32K", "/sys/fs/cgroup/memory.reclaim")).toBe(4);
    expect(fields(yield* cat(k, "/proc/self/smaps_rollup"))).toMatchObject({ Rss: 0, Anonymous: 0, Swap: 32, SwapPss: 32 });
    expect(yield* m.vfs.read(k, pagemap, buffer, (addr / PAGE) * 8)).toBe(16);
    const swapped = new DataView(buffer.buffer).getBigUint64(8, true);
    expect(swapped >> 62n).toBe(1n);
    expect(swapped & 31n).toBe(0n);
    expect(fields(yield* cat(k, "/proc/self/status"))).toMatchObject({ VmSwap: 32, VmRSS: 0 });
    yield* k.mmuNotifier.intervalRemove(k, dmirror.notifier);
    yield* m.vfs.put(k, pagemap);
  });
});

test("pagemap: any multiple of eight, short at the end", () => {
  const { k, run } = makeFs();
  const { m } = k;
  run(function* (mm) {
    const addr = yield* mapAnon(k, mm, 600);
    yield* touch(k, addr, 1);
    const pagemap = yield* open(k, "/proc/self/pagemap", O.RDONLY);
    const buffer = new Uint8Array(8 * 600);
    expect(yield* m.vfs.read(k, pagemap, buffer, (addr / PAGE) * 8)).toBe(8 * 600);
    const view = new DataView(buffer.buffer);
    const first = view.getBigUint64(0, true);
    expect(first >> 63n).toBe(1n);
    expect((first >> 56n) & 1n).toBe(1n);
    expect((first >> 61n) & 1n).toBe(0n);
    const ptep = m.pt.lookup(mm.pgd, addr / PAGE);
    expect(first & ((1n << 55n) - 1n)).toBe(BigInt(m.pt.pfn(ptep)));
    expect(view.getBigUint64(8, true)).toBe(1n << 55n);
    expect(yield* m.vfs.read(k, pagemap, buffer.subarray(0, 12), 0)).toBe(-Errno.EINVAL);
    expect(yield* m.vfs.read(k, pagemap, buffer, 4)).toBe(-Errno.EINVAL);
    const end = (1 << 26) * 8;
    expect(yield* m.vfs.read(k, pagemap, buffer, end - 16)).toBe(16);
    expect(yield* m.vfs.read(k, pagemap, buffer, end)).toBe(0);
    expect(yield* m.vfs.lseek(k, pagemap, end, SEEK_SET)).toBe(end);
    expect(yield* m.vfs.lseek(k, pagemap, 0, SEEK_END)).toBe(-Errno.EINVAL);
  });
});

test("clear_refs leaves pages that are pinned for DMA writable, and soft-dirty", () => {
  const { k, run } = makeFs();
  const { m } = k;
  run(function* (mm) {
    const addr = yield* mapAnon(k, mm, 2);
    yield* touch(k, addr, 2);
    const page = yield* k.gupPin.pinUserPageFast(k, addr / PAGE, FollFlag.WRITE, "test");
    expect(page).toBeGreaterThan(0);
    const clearRefs = yield* open(k, "/proc/self/clear_refs", O.WRONLY);
    expect(yield* m.vfs.write(k, clearRefs, new Uint8Array([0x34]))).toBe(1);
    const marks = (at: number): number => m.pt.flags(m.pt.lookup(mm.pgd, at / PAGE)) & (PTE.W | PTE.SOFT_DIRTY);
    expect([marks(addr), marks(addr + PAGE)]).toEqual([PTE.W | PTE.SOFT_DIRTY, 0]);
    yield* k.gupPin.unpinUserPage(k, page, false, "test");
    expect(yield* m.vfs.write(k, clearRefs, new Uint8Array([0x34]))).toBe(1);
    expect(marks(addr)).toBe(0);
    const vmstat = String(yield* cat(k, "/proc/vmstat"));
    expect(vmstat).toContain("\nnr_foll_pin_acquired 1\nnr_foll_pin_released 1\n");
  });
});

test("status, stat, statm and the like", () => {
  const { k, run } = makeFs();
  run(function* (mm) {
    const addr = yield* mapAnon(k, mm, 100);
    yield* touch(k, addr, 10);
    const status = String(yield* cat(k, "/proc/self/status"));
    expect(status).toMatch(/^Name:\ttest\nUmask:\t0022\nState:\tR \(running\)\nTgid:\t100\nNgid:\t0\nPid:\t100\nPPid:\t0\n/);
    expect(status).toContain("\nVmSize:\t     400 kB\nVmLck:\t       0 kB\n");
    expect(status).toContain("\nVmRSS:\t      40 kB\nRssAnon:\t      40 kB\n");
    expect(status).toContain("\nVmData:\t     400 kB\n");
    expect(status).toContain("\nThreads:\t1\n");
    expect(yield* cat(k, "/proc/self/statm")).toBe("100 10 0 0 0 100 0\n");
    const stat = String(yield* cat(k, "/proc/100/stat"));
    expect(stat).toMatch(/^100 \(test\) R 0 100 100 0 -1 \d+ /);
    expect(stat.trimEnd().split(" ")).toHaveLength(52);
    expect(yield* cat(k, "/proc/self/comm")).toBe("test\n");
    expect(yield* echo(k, "a name that is too long", "/proc/self/comm")).toBe(24);
    expect(yield* cat(k, "/proc/100/comm")).toBe("a name that is \n");
    expect(yield* cat(k, "/proc/self/cgroup")).toBe("0::/\n");
    expect(yield* cat(k, "/proc/thread-self/comm")).toBe("a name that is \n");
    expect(yield* k.m.vfs.readlink(k, "/proc/self")).toBe("100");
    expect(yield* k.m.vfs.readlink(k, "/proc/thread-self")).toBe("100/task/100");
    expect(yield* k.m.vfs.readlink(k, "/proc/self/cwd")).toBe("/");
    expect(yield* ls(k, "/proc/self/fd")).toEqual(["0", "1", "2"]);
    expect(yield* ls(k, "/proc/self/task")).toEqual(["100"]);
    expect(yield* ls(k, "/proc/self/task/100")).not.toContain("task");
    expect(yield* cat(k, "/proc/101/status")).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "-1001", "/proc/self/oom_score_adj")).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "500", "/proc/self/oom_score_adj")).toBe(4);
    expect(yield* cat(k, "/proc/self/oom_score_adj")).toBe("500\n");
    expect(Number(yield* cat(k, "/proc/self/oom_score"))).toBeGreaterThanOrEqual(990);
    // As observed on Linux 6.18.
    for (const [text, value] of [["0x10", 16], ["010", 8], [" 5 ", 5], ["+7", 7], ["-0", 0], ["5\0junk", 5]] as const) {
      expect(yield* echo(k, text, "/proc/self/oom_score_adj")).toBe(text.length + 1);
      expect(yield* cat(k, "/proc/self/oom_score_adj")).toBe(`${value}\n`);
    }
    for (const text of ["08", "", "5 6", "1e3", "--5", "0x"]) expect(yield* echo(k, text, "/proc/self/oom_score_adj")).toBe(-Errno.EINVAL);
    expect(String(yield* cat(k, "/proc/self/limits")).split("\n")[4]).toBe(
      "Max stack size            8388608              unlimited            bytes     ",
    );
    const limits = k.m.current!.process!.limits;
    limits[Rlimit.STACK] = { current: 65536n, maximum: 131072n };
    expect(String(yield* cat(k, "/proc/self/limits")).split("\n")[4]).toBe(
      "Max stack size            65536                131072               bytes     ",
    );
    expect(yield* cat(k, "/proc/sys/kernel/threads-max")).toBe(`${maxThreads(k.m)}\n`);
    mm.argStart = addr;
    mm.argEnd = addr + 5;
    expect(yield* cat(k, "/proc/self/cmdline")).toBe("\x01\0\0\0\0");
  });
});

test("an address space that is gone has nothing to show, one that is looked at stays", () => {
  const { k, run } = makeFs();
  const { vfs, mms } = k.m;
  let maps: number | null = null;
  run(function* (mm) {
    yield* mapAnon(k, mm, 4);
    const file = yield* open(k, "/proc/self/maps", O.RDONLY);
    const rollup = yield* open(k, "/proc/self/smaps_rollup", O.RDONLY);
    mm.users = 0;
    maps = yield* vfs.read(k, file, new Uint8Array(100));
    expect(yield* vfs.read(k, rollup, new Uint8Array(100))).toBe(-Errno.ESRCH);
    mm.users = 1;
  });
  expect(maps).toBe(0);
  expect(mms.length).toBe(0);
});

test("refusals are those of a real /proc", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* echo(k, "x", "/proc/meminfo")).toBe(-Errno.EIO);
    expect(yield* echo(k, "x", "/proc/self/smaps")).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "x", "/proc/sys/kernel/osrelease")).toBe(-Errno.EACCES);
    expect(yield* echo(k, "x", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")).toBe(-Errno.EACCES);
    expect(yield* echo(k, "x", "/proc/foo")).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "x", "/proc/self/foo")).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "x", "/sys/foo")).toBe(-Errno.EACCES);
    expect(yield* vfs.mkdir(k, "/proc/foo", 0o777)).toBe(-Errno.ENOENT);
    expect(yield* vfs.mkdir(k, "/sys/foo", 0o777)).toBe(-Errno.EPERM);
    expect(yield* vfs.unlink(k, "/proc/meminfo")).toBe(-Errno.EPERM);
    expect(yield* vfs.rmdir(k, "/proc/100")).toBe(-Errno.EPERM);
    expect(yield* cat(k, "/proc/sys/vm")).toBe(-Errno.EISDIR);
    expect(yield* vfs.stat(k, "/proc/self/maps", true)).toMatchObject({ mode: 0o100444, size: 0, blksize: 1024 });
    expect(yield* vfs.stat(k, "/sys/kernel/mm/transparent_hugepage/enabled", true)).toMatchObject({ mode: 0o100644, size: 4096 });
    expect(yield* vfs.stat(k, "/proc/self/fd/0", false)).toMatchObject({ mode: 0o120500, size: 64 });
  });
});

test("the texts about the machine", () => {
  const { k, run } = makeFs({ cpus: 2 });
  const { m } = k;
  run(function* (mm) {
    const addr = yield* mapAnon(k, mm, 100);
    yield* touch(k, addr, 50);
    const meminfo = String(yield* cat(k, "/proc/meminfo"));
    const info = fields(meminfo);
    expect(info["MemTotal"]).toBe(m.zones.totalPages() * 4);
    expect(info["AnonPages"]).toBe(200);
    expect(info["SwapTotal"]).toBe(4095 * 4);
    expect(meminfo.split("\n").slice(0, 8).map((l) => l.split(":")[0])).toEqual(
      ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive"],
    );
    for (const line of meminfo.trimEnd().split("\n")) expect(line).toMatch(/^(\S+: +\d+ kB|HugePages_\w+: +\d)$/);
    expect(meminfo).toContain("\nHugePages_Total:       0\nHugePages_Free:        0\n");
    expect(meminfo).toContain("\nVmallocTotal:   67108863 kB\n");
    const vmstat = String(yield* cat(k, "/proc/vmstat"));
    expect(vmstat).toMatch(/^nr_free_pages \d+\nnr_free_pages_blocks \d+\nnr_zone_inactive_anon \d+\n/);
    const names = vmstat.split("\n").map((line) => line.split(" ")[0]!);
    expect(new Set(names).size).toBe(names.length);
    expect(Object.keys(k.m.vmstat.events).filter((event) => !names.includes(event))).toEqual([]);
    expect(vmstat).toMatch(/\nnr_anon_pages 50\n/);
    expect(vmstat).toMatch(/\npgfault \d+\npgmajfault 0\n/);
    expect(yield* cat(k, "/proc/swaps")).toBe(
      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
        "/dev/vda                                partition\t16380\t\t0\t\t-1\n",
    );
    expect(yield* cat(k, "/proc/uptime")).toMatch(/^\d+\.\d\d \d+\.\d\d\n$/);
    expect(yield* cat(k, "/proc/version")).toBe("Linux version 7.3.0 #1 SMP PREEMPT_DYNAMIC\n");
    expect(String(yield* cat(k, "/proc/cpuinfo")).match(/^processor\t: \d$/gm)).toHaveLength(2);
    expect(yield* cat(k, "/proc/loadavg")).toMatch(/^0\.00 0\.00 0\.00 1\/\d+ \d+\n$/);
    expect(yield* cat(k, "/proc/mounts")).toMatch(/^tmpfs \/ tmpfs rw,relatime 0 0\ndevtmpfs \/dev devtmpfs /);
    expect(yield* cat(k, "/proc/sys/vm/overcommit_memory")).toBe("0\n");
    expect(yield* cat(k, "/proc/sys/kernel/osrelease")).toBe("7.3.0\n");
    expect(yield* echo(k, "3", "/proc/sys/vm/drop_caches")).toBe(2);
    expect(yield* echo(k, "0", "/proc/sys/vm/drop_caches")).toBe(-Errno.EINVAL);
    expect(yield* cat(k, "/sys/kernel/mm/transparent_hugepage/enabled")).toBe("always [madvise] never\n");
    expect(yield* cat(k, "/sys/devices/system/cpu/online")).toBe("0-1\n");
    expect(yield* cat(k, "/sys/devices/system/node/online")).toBe("0\n");
    expect(yield* ls(k, "/proc")).toContain("100");
  });
});
