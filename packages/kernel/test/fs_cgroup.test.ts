import { expect, test } from "vitest";
import { Errno, MapFlag, Prot, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { O } from "../src/fs/vfs.js";
import { memparse } from "../src/fs/pseudo.js";
import { cat, echo, ls, makeFs, open } from "./fs_harness.js";

const PAGE = 4096;
const ROOT = "/sys/fs/cgroup";

function* populate(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * PAGE, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * PAGE, i + 1);
  return addr;
}

test("cgroups are made, entered, left and removed", () => {
  const { k, run } = makeFs();
  const { vfs, memcgs } = k.m;
  run(function* () {
    expect(yield* cat(k, `${ROOT}/cgroup.controllers`)).toBe("memory\n");
    expect(yield* cat(k, `${ROOT}/cgroup.subtree_control`)).toBe("memory\n");
    expect(yield* cat(k, `${ROOT}/cgroup.procs`)).toBe("100\n");
    expect(yield* vfs.mkdir(k, `${ROOT}/a`, 0o755)).toBe(0);
    expect(yield* vfs.mkdir(k, `${ROOT}/a`, 0o755)).toBe(-Errno.EEXIST);
    expect(yield* vfs.mkdir(k, `${ROOT}/memory.stat`, 0o755)).toBe(-Errno.EEXIST);
    expect(yield* cat(k, `${ROOT}/a/cgroup.events`)).toBe("populated 0\nfrozen 0\n");
    expect(yield* echo(k, "0", `${ROOT}/a/cgroup.procs`)).toBe(2);
    expect(yield* cat(k, `${ROOT}/a/cgroup.procs`)).toBe("100\n");
    expect(yield* cat(k, `${ROOT}/cgroup.procs`)).toBe("");
    expect(yield* cat(k, "/proc/self/cgroup")).toBe("0::/a\n");
    expect(yield* cat(k, `${ROOT}/a/cgroup.events`)).toBe("populated 1\nfrozen 0\n");
    expect(yield* vfs.rmdir(k, `${ROOT}/a`)).toBe(-Errno.EBUSY);
    expect(yield* echo(k, "+memory", `${ROOT}/a/cgroup.subtree_control`)).toBe(-Errno.EBUSY);
    expect(yield* echo(k, "4711", `${ROOT}/cgroup.procs`)).toBe(-Errno.ESRCH);
    for (const text of ["x", "", "-1", "1 2", "2147483648"]) expect(yield* echo(k, text, `${ROOT}/cgroup.procs`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "0144", `${ROOT}/cgroup.procs`)).toBe(5);
    expect(yield* echo(k, "0", `${ROOT}/a/cgroup.procs`)).toBe(2);
    expect(yield* k.m.vfs.mkdir(k, `${ROOT}/${"n".repeat(300)}`, 0o755)).toBe(0);
    expect(yield* k.m.vfs.rmdir(k, `${ROOT}/${"n".repeat(300)}`)).toBe(0);
    expect(yield* echo(k, "100", `${ROOT}/cgroup.procs`)).toBe(4);
    const procs = yield* open(k, `${ROOT}/a/cgroup.procs`, O.RDWR);
    expect(yield* vfs.rmdir(k, `${ROOT}/a`)).toBe(0);
    expect(yield* vfs.read(k, procs, new Uint8Array(10))).toBe(-Errno.ENODEV);
    expect(yield* ls(k, `${ROOT}/a`)).toBe(-Errno.ENOENT);
    expect(memcgs.root.children.size).toBe(0);
    expect(yield* vfs.rmdir(k, ROOT)).toBe(-Errno.EBUSY);
    expect(yield* vfs.unlink(k, `${ROOT}/memory.stat`)).toBe(-Errno.EPERM);
    expect(yield* vfs.open(k, `${ROOT}/new`, O.RDWR | O.CREAT, 0o600)).toBe(-Errno.EACCES);
  });
});

test("the root lacks what only a group has; without the controller there are no memory files", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    expect(yield* ls(k, ROOT)).toEqual([
      "cgroup.procs",
      "memory.stat",
      "cgroup.stat",
      "cgroup.controllers",
      "cgroup.subtree_control",
      "memory.reclaim",
    ]);
    yield* vfs.mkdir(k, `${ROOT}/a`, 0o755);
    yield* vfs.mkdir(k, `${ROOT}/a/b`, 0o755);
    expect(yield* ls(k, `${ROOT}/a`)).toContain("memory.max");
    expect(yield* ls(k, `${ROOT}/a/b`)).not.toContain("memory.max");
    expect(yield* cat(k, `${ROOT}/a/b/cgroup.controllers`)).toBe("");
    expect(yield* echo(k, "+memory", `${ROOT}/a/b/cgroup.subtree_control`)).toBe(-Errno.ENOENT);
    expect(yield* echo(k, "+cpu", `${ROOT}/a/cgroup.subtree_control`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "+memory", `${ROOT}/a/cgroup.subtree_control`)).toBe(8);
    expect(yield* cat(k, `${ROOT}/a/b/memory.max`)).toBe("max\n");
    expect(yield* echo(k, "0", `${ROOT}/a/cgroup.procs`)).toBe(-Errno.EBUSY);
    expect(yield* echo(k, "-memory", `${ROOT}/cgroup.subtree_control`)).toBe(-Errno.EBUSY);
    expect(yield* vfs.rmdir(k, `${ROOT}/a`)).toBe(-Errno.EBUSY);
    expect(yield* cat(k, `${ROOT}/cgroup.stat`)).toBe(
      "nr_descendants 2\nnr_subsys_memory 3\nnr_dying_descendants 0\nnr_dying_subsys_memory 0\n",
    );
  });
});

test("limits are read as Linux reads them", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* () {
    yield* vfs.mkdir(k, `${ROOT}/a`, 0o755);
    const max = `${ROOT}/a/memory.max`;
    const set = function* (text: string): MaySleep<string | number> {
      const n = yield* echo(k, text, max);
      return n < 0 ? n : yield* cat(k, max);
    };
    expect(yield* cat(k, max)).toBe("max\n");
    expect(yield* set("1M")).toBe("1048576\n");
    expect(yield* set("5000")).toBe("4096\n");
    expect(yield* set("0x2000")).toBe("8192\n");
    expect(yield* set("2g")).toBe("2147483648\n");
    expect(yield* set("max")).toBe("max\n");
    expect(yield* set("-1")).toBe(-Errno.EINVAL);
    expect(yield* set("1Q")).toBe(-Errno.EINVAL);
    expect(yield* set("many")).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "64K", `${ROOT}/a/memory.low`)).toBe(4);
    expect(yield* cat(k, `${ROOT}/a/memory.low`)).toBe("65536\n");
    expect(yield* cat(k, `${ROOT}/a/memory.min`)).toBe("0\n");
    expect(yield* cat(k, `${ROOT}/a/memory.reclaim`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "1", `${ROOT}/a/memory.current`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "1M swappiness=60", `${ROOT}/a/memory.reclaim`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "nothing", `${ROOT}/a/memory.reclaim`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "1M", `${ROOT}/a/memory.reclaim`)).toBe(-Errno.EAGAIN);
    expect(yield* echo(k, "2", `${ROOT}/a/memory.oom.group`)).toBe(-Errno.EINVAL);
    expect(yield* echo(k, "1", `${ROOT}/a/memory.oom.group`)).toBe(2);
    expect(yield* cat(k, `${ROOT}/a/memory.oom.group`)).toBe("1\n");
    expect(yield* echo(k, "0", `${ROOT}/a/cgroup.kill`)).toBe(-Errno.ERANGE);
    expect(yield* echo(k, "x", `${ROOT}/a/cgroup.kill`)).toBe(-Errno.EINVAL);
  });
  expect(memparse("12K x")).toEqual({ bytes: 12288, rest: " x" });
  expect(memparse("017")).toEqual({ bytes: 15, rest: "" });
  expect(memparse("K")).toBeNull();
});

test("charges show where they were made, stay there, and outlive the group", () => {
  const { k, run } = makeFs();
  const { vfs, memcgs } = k.m;
  run(function* (mm) {
    yield* vfs.mkdir(k, `${ROOT}/a`, 0o755);
    yield* echo(k, "0", `${ROOT}/a/cgroup.procs`);
    const addr = yield* populate(k, mm, 100);
    const before = Number(yield* cat(k, `${ROOT}/a/memory.current`));
    expect(before).toBeGreaterThanOrEqual(100 * PAGE);
    const stat = String(yield* cat(k, `${ROOT}/a/memory.stat`));
    expect(stat).toMatch(/^anon 409600\nfile 0\nkernel \d+\nkernel_stack \d+\npagetables \d+\n/);
    expect(stat).toContain("\npgscan 0\npgsteal 0\npswpin 0\npswpout 0\npgscan_kswapd 0\n");
    yield* echo(k, "0", `${ROOT}/cgroup.procs`);
    expect(Number(yield* cat(k, `${ROOT}/a/memory.current`))).toBe(before);
    expect(yield* vfs.rmdir(k, `${ROOT}/a`)).toBe(0);
    expect(yield* cat(k, `${ROOT}/cgroup.stat`)).toContain("nr_dying_descendants 1\n");
    expect(yield* cat(k, `${ROOT}/memory.stat`)).toMatch(/^anon 409600\n/);
    // A new group of the same name has nothing to do with the old one.
    expect(yield* vfs.mkdir(k, `${ROOT}/a`, 0o755)).toBe(0);
    expect(yield* cat(k, `${ROOT}/a/memory.current`)).toBe("0\n");
    expect(yield* k.mmap.doMunmap(k, mm, addr, 100 * PAGE)).toBe(0);
    expect(yield* vfs.rmdir(k, `${ROOT}/a`)).toBe(0);
    expect(memcgs.root.children.size).toBe(0);
  });
});

test("memory.reclaim swaps out, memory.max holds the group down", () => {
  const { k, run } = makeFs();
  const { vfs } = k.m;
  run(function* (mm) {
    yield* vfs.mkdir(k, `${ROOT}/a`, 0o755);
    yield* echo(k, "0", `${ROOT}/a/cgroup.procs`);
    yield* populate(k, mm, 310);
    expect(yield* echo(k, "400K", `${ROOT}/a/memory.reclaim`)).toBe(5);
    expect(Number(yield* cat(k, `${ROOT}/a/memory.swap.current`))).toBeGreaterThanOrEqual(100 * PAGE);
    expect(yield* echo(k, "512K", `${ROOT}/a/memory.max`)).toBe(5);
    expect(Number(yield* cat(k, `${ROOT}/a/memory.current`))).toBeLessThanOrEqual(512 * 1024);
    yield* populate(k, mm, 200);
    expect(Number(yield* cat(k, `${ROOT}/a/memory.current`))).toBeLessThanOrEqual(512 * 1024);
    expect(String(yield* cat(k, `${ROOT}/a/memory.events`))).toMatch(/^low 0\nhigh 0\nmax [1-9]\d*\noom 0\noom_kill 0\noom_group_kill 0\n$/);
    expect(yield* cat(k, `${ROOT}/a/memory.swap.events`)).toBe("high 0\nmax 0\nfail 0\n");
    expect(Number(yield* cat(k, `${ROOT}/a/memory.peak`))).toBeGreaterThanOrEqual(310 * PAGE);
  });
});
