import { expect, test } from "vitest";
import {
  assembleKernel,
  Errno,
  FileTable,
  initialLimits,
  Machine,
  MapFlag,
  Process,
  Prot,
  SignalHandlers,
  startSwapDisk,
  Task,
  type Executor,
  type Kernel,
  type MaySleep,
  type Mm,
} from "../src/index.js";
import { mountAll } from "../src/fs/mount_all.js";
import { bytesOf } from "../src/fs/pseudo.js";
import { O } from "../src/fs/vfs.js";
import { cat, echo, open } from "./fs_harness.js";

const PAGE = 4096;

/** Runs processes on two CPUs that may change at every point; what must hold afterwards is checked. */
function race(seed: number, bodies: readonly ((k: Kernel, mm: Mm) => MaySleep<void>)[]): void {
  const m = new Machine({ frames: 2048, reservedFrames: 16, swapSlots: 512, cpus: 2, seed, tlbEntries: 16, checking: true });
  m.sched.strategy = {
    quantum: () => 0,
    preempt: () => m.choices.pick("preempt", 3) === 0,
    pick: (eligible: readonly Executor[]) => eligible[m.choices.pick("cpu", eligible.length)]!,
  };
  const k = assembleKernel(m);
  startSwapDisk(k);
  const streams = mountAll(k, { write: () => {} });
  let ended = 0;
  bodies.forEach((body, i) => {
    const id = 100 + i;
    const process = new Process(id, `test${i}`, null, new FileTable(), new SignalHandlers(), m.memcgs.root, false, initialLimits(m));
    streams.install(process.files);
    function* main(): MaySleep<void> {
      const mm = (yield* k.mmap.mmAlloc(k))!;
      m.current!.mm = mm;
      process.mm = mm;
      m.switchMm(m.executor!, mm);
      yield* body(k, mm);
      yield* k.exit.exitMm(k, m.current!);
      process.mm = null;
      ended++;
    }
    const task = new Task(id, `test${i}`, m.sched.executors[i % 2]!, main(), { process, memcg: m.memcgs.root });
    process.threads.add(task);
    m.processes.set(id, process);
    m.tasks.set(id, task);
    m.sched.start(task);
  });
  m.sched.run();
  expect(ended).toBe(bodies.length);
  expect(m.refs!.unbalanced).toEqual([]);
  expect(m.refs!.empty).toBe(true);
  expect(m.mms.length).toBe(0);
  expect(m.vmstat.pages.shmem).toBe(0);
  expect(m.vmstat.pages.anonMapped).toBe(0);
}

test("proc looks at an address space that changes and goes away", () => {
  for (let seed = 1; seed <= 40; seed++) {
    race(seed, [
      function* (k, mm) {
        for (let round = 0; round < 2; round++) {
          const addr = yield* k.mmap.doMmap(k, mm, 0, 12 * PAGE, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, null, 0);
          for (let i = 0; i < 12; i++) yield* k.uaccess.putUser32(k, addr + i * PAGE, i);
          yield* k.mprotect.doMprotect(k, mm, addr + 4 * PAGE, 4 * PAGE, Prot.READ);
          yield* k.mmap.doMunmap(k, mm, addr, 6 * PAGE);
        }
      },
      function* (k) {
        for (const name of ["smaps", "smaps_rollup", "maps", "status", "statm", "stat", "cmdline", "smaps", "cgroup"]) {
          const text = yield* cat(k, `/proc/100/${name}`);
          if (typeof text === "number") expect([-Errno.ENOENT, -Errno.ESRCH]).toContain(text);
          else if (name === "smaps") expect(text === "" || /ac sd \n$/.test(text)).toBe(true);
        }
        const pagemap = yield* k.m.vfs.open(k, "/proc/100/pagemap", O.RDONLY, 0);
        if (typeof pagemap === "number") return;
        const buffer = new Uint8Array(8 * 600);
        expect([0, buffer.length]).toContain(yield* k.m.vfs.read(k, pagemap, buffer, ((1 << 26) - 40_000) * 8));
        yield* k.m.vfs.put(k, pagemap);
      },
    ]);
  }
});

test("names and contents of tmpfs under contention", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const created: number[] = [];
    const body = function* (k: Kernel): MaySleep<void> {
      const { vfs } = k.m;
      const id = k.m.current!.id;
      const mine = yield* vfs.open(k, "/tmp/once", O.RDWR | O.CREAT | O.EXCL, 0o600);
      if (typeof mine === "number") expect(mine).toBe(-Errno.EEXIST);
      else {
        created.push(id);
        yield* vfs.put(k, mine);
      }
      const log = yield* open(k, "/tmp/log", O.WRONLY | O.CREAT | O.APPEND);
      for (let i = 0; i < 4; i++) expect(yield* vfs.write(k, log, bytesOf(`${id}${"x".repeat(1500)}\n`))).toBe(1504);
      yield* vfs.put(k, log);
      yield* vfs.mkdir(k, "/tmp/dir", 0o755);
      yield* echo(k, "x", `/tmp/dir/${id}`);
      yield* vfs.rename(k, `/tmp/dir/${id}`, "/tmp/moved");
      yield* vfs.rmdir(k, "/tmp/dir");
      yield* vfs.truncate(k, "/tmp/moved", 10_000);
      yield* vfs.unlink(k, "/tmp/moved");
    };
    race(seed, [
      body,
      function* (k) {
        yield* body(k);
        // Both have appended when the other's process is gone.
        while ((yield* cat(k, "/proc/100/statm")) !== "0 0 0 0 0 0 0\n") yield* k.m.sched.condResched();
        const lines = String(yield* cat(k, "/tmp/log")).trimEnd().split("\n");
        expect(lines).toHaveLength(8);
        for (const line of lines) expect(line).toMatch(/^10[01]x{1500}$/);
        yield* k.m.vfs.unlink(k, "/tmp/log");
        yield* k.m.vfs.unlink(k, "/tmp/once");
      },
    ]);
    expect(created).toHaveLength(1);
  }
});

test("a directory that stands below a younger one is removed while others move something into it", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const outcomes: number[] = [];
    race(seed, [
      function* (k) {
        const { vfs } = k.m;
        yield* vfs.mkdir(k, "/tmp/older", 0o755);
        yield* vfs.mkdir(k, "/tmp/younger", 0o755);
        yield* echo(k, "x", "/tmp/younger/file");
        yield* vfs.rename(k, "/tmp/older", "/tmp/younger/older");
        outcomes.push(yield* vfs.rmdir(k, "/tmp/younger/older"));
      },
      function* (k) {
        const { vfs } = k.m;
        while (outcomes.length === 0 && (yield* vfs.stat(k, "/tmp/younger/older", true)) === -Errno.ENOENT) yield* k.m.sched.condResched();
        outcomes.push(yield* vfs.rename(k, "/tmp/younger/file", "/tmp/younger/older/file"));
        while (outcomes.length < 2) yield* vfs.stat(k, "/tmp", true);
        for (const path of ["/tmp/younger/file", "/tmp/younger/older/file"]) yield* vfs.unlink(k, path);
      },
    ]);
    // Whoever comes first wins.
    expect([`0,${-Errno.ENOENT}`, `0,${-Errno.ENOTEMPTY}`]).toContain(outcomes.sort((a, b) => b - a).join());
  }
});

test("cgroups are removed while processes enter them", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const outcomes: number[] = [];
    race(seed, [
      function* (k) {
        yield* k.m.vfs.mkdir(k, "/sys/fs/cgroup/a", 0o755);
        outcomes.push(yield* echo(k, "0", "/sys/fs/cgroup/a/cgroup.procs"));
      },
      function* (k) {
        outcomes.push(yield* k.m.vfs.rmdir(k, "/sys/fs/cgroup/a"));
        const { memcg } = k.m.processes.get(100)!;
        expect(memcg.path === "/" || k.m.memcgs.root.children.get("a") === memcg).toBe(true);
      },
    ]);
    for (const outcome of outcomes) expect([0, 2, -Errno.ENOENT, -Errno.EBUSY, -Errno.ENODEV, -Errno.EACCES]).toContain(outcome);
  }
});
