import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Mutex } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { Lru } from "../mm/lruvec.js";
import type { Memcg, MemcgCounters } from "../mm/memcontrol.js";
import { memparse, parseInteger, PseudoDir, PseudoFs, TextFile, type Show, type Store } from "./pseudo.js";
import type { DirEntry, Inode } from "./vfs.js";

const CGROUP2_MAGIC = 0x63677270;
const CONTROLLER = "memory";
const INT_MAX = 0x7fffffff;

/**
 * The cgroup v2 hierarchy, with the memory controller alone. A directory and a `Memcg` belong
 * together from mkdir to rmdir; where the parent has not enabled the controller, the memory files
 * are hidden and the limits are at their defaults. A process's cgroup is its `memcg`. A removed
 * cgroup that is still charged for pages or swap stays in the tree of Memcgs under a name that no
 * path can have, so that reclaim finds its pages and sums count them; it goes once it is empty.
 *
 * `mutex` guards the shape of the hierarchy and who is where. The root's subtree_control starts
 * with the memory controller on, as init systems leave it.
 */
export class CgroupFs extends PseudoFs {
  readonly mutex: Mutex;
  declare readonly root: CgroupDir;

  constructor(
    readonly m: Machine,
    dev: number,
  ) {
    super("cgroup2", "cgroup2", "rw,nosuid,nodev,noexec,relatime", dev, CGROUP2_MAGIC, { kernfs: true });
    this.mutex = new Mutex(m.locks, "cgroup_mutex");
    this.root = new CgroupDir(this, m.memcgs.root, null);
    this.root.subtreeControl = true;
  }
}

/** A cgroup as a directory. */
export class CgroupDir extends PseudoDir {
  readonly groups = new Map<string, CgroupDir>();
  /** The memory controller is enabled for the children. */
  subtreeControl = false;
  /** Removed: those who still have it open find nothing. */
  dead = false;

  constructor(
    readonly cgroups: CgroupFs,
    readonly memcg: Memcg,
    readonly parent: CgroupDir | null,
  ) {
    super(cgroups, 0o755);
    memcg.ino = this.ino;
    addCgroupFiles(this);
    addMemoryFiles(this);
  }

  get hasMemory(): boolean {
    return this.parent === null || this.parent.subtreeControl;
  }

  private visible(name: string): boolean {
    return this.hasMemory || !name.startsWith(`${CONTROLLER}.`);
  }

  *descendants(): Generator<CgroupDir, void, void> {
    for (const child of this.groups.values()) {
      yield child;
      yield* child.descendants();
    }
  }

  override *lookup(k: Kernel, name: string): MaySleep<Inode | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (this.dead) return null;
    return this.groups.get(name) ?? (this.visible(name) ? (this.children.get(name) ?? null) : null);
  }

  override *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (this.dead) return [];
    const all: [string, Inode][] = [...this.children].filter(([name]) => this.visible(name));
    return this.fs.listed([...all, ...this.groups]);
  }

  *mkdir(k: Kernel, name: string, _mode: number): MaySleep<number> {
    const { mutex } = this.cgroups;
    if (name.includes("\n")) return -Errno.EINVAL;
    if (!mutex.tryLock()) yield* mutex.lock();
    let error = 0;
    if (this.dead) error = -Errno.ENODEV;
    else if (this.groups.has(name) || this.children.has(name)) error = -Errno.EEXIST;
    else {
      reapDying(k, this.memcg);
      this.groups.set(name, new CgroupDir(this.cgroups, k.m.memcgs.create(this.memcg, name), this));
      this.nlink++;
    }
    if (!mutex.tryUnlock()) yield* mutex.unlock();
    return error;
  }

  *rmdir(k: Kernel, name: string): MaySleep<number> {
    const { mutex } = this.cgroups;
    if (!mutex.tryLock()) yield* mutex.lock();
    const group = this.groups.get(name);
    let error = 0;
    if (group === undefined) error = this.children.has(name) ? -Errno.ENOTDIR : -Errno.ENOENT;
    else if (group.groups.size > 0 || processesOf(k, group.memcg).length > 0) error = -Errno.EBUSY;
    else {
      // What CPUs have taken in advance for it goes back first: an empty cgroup can go for good.
      k.m.memcgs.drainAllStock();
      this.groups.delete(name);
      this.nlink--;
      group.dead = true;
      group.nlink = 0;
      this.memcg.children.delete(name);
      this.memcg.children.set(`/${group.memcg.id}`, group.memcg);
      resetLimits(group.memcg);
      reapDying(k, this.memcg);
    }
    if (!mutex.tryUnlock()) yield* mutex.unlock();
    return error;
  }
}

function resetLimits(memcg: Memcg): void {
  memcg.max = memcg.high = memcg.swapMax = Infinity;
  memcg.min = memcg.low = 0;
}

/** Lets go of removed cgroups that nothing is charged to any more. Their events stay in the sums. */
function reapDying(k: Kernel, parent: Memcg): void {
  for (const [name, memcg] of [...parent.children]) {
    if (!name.startsWith("/")) continue;
    reapDying(k, memcg);
    if (memcg.usage > 0 || memcg.swapUsage > 0 || memcg.children.size > 0) continue;
    parent.children.delete(name);
    for (const key of Object.keys(memcg.counters) as (keyof MemcgCounters)[]) {
      parent.counters[key] += memcg.counters[key];
    }
    for (const key of Object.keys(memcg.events) as (keyof Memcg["events"])[]) parent.events[key] += memcg.events[key];
    for (const key of Object.keys(memcg.swapEvents) as (keyof Memcg["swapEvents"])[]) {
      parent.swapEvents[key] += memcg.swapEvents[key];
    }
  }
}

function dyingCount(memcg: Memcg): number {
  let n = 0;
  for (const [name, child] of memcg.children) n += (name.startsWith("/") ? 1 : 0) + dyingCount(child);
  return n;
}

function processesOf(k: Kernel, memcg: Memcg): Process[] {
  return [...k.m.processes.values()].filter((p) => p.memcg === memcg && !p.zombie);
}

/** Ids in cgroup.procs; the root has the kernel threads too. */
function processIds(k: Kernel, dir: CgroupDir): number[] {
  const ids = processesOf(k, dir.memcg).map((p) => p.pid);
  if (dir.parent === null) {
    for (const [id, task] of k.m.tasks) if (task.process === null && !task.executor.isDevice) ids.push(id);
  }
  return ids.sort((a, b) => a - b);
}

function populated(k: Kernel, dir: CgroupDir): boolean {
  if (processesOf(k, dir.memcg).length > 0) return true;
  for (const group of dir.groups.values()) if (populated(k, group)) return true;
  return false;
}

/** Adds a file of a cgroup; reading a file that only takes writes answers EINVAL, and so the other way. */
function addFile(dir: CgroupDir, name: string, show: ((k: Kernel) => string) | null, store?: Store): void {
  const showing: Show = function* (k) {
    if (k.m.point(Op.Memcg, dir.memcg.id)) yield SWITCH;
    return dir.dead ? -Errno.ENODEV : show!(k);
  };
  const storing: Store = function* (k, text, file) {
    if (k.m.point(Op.Memcg, dir.memcg.id)) yield SWITCH;
    return dir.dead ? -Errno.ENODEV : yield* store!(k, text.trim(), file);
  };
  dir.add(
    name,
    new TextFile(dir.fs, {
      ...(show === null ? {} : { show: showing }),
      ...(store === undefined ? {} : { store: storing }),
    }),
  );
}

function addCgroupFiles(dir: CgroupDir): void {
  const isRoot = dir.parent === null;
  if (!isRoot) addFile(dir, "cgroup.type", () => "domain\n");
  addFile(
    dir,
    "cgroup.procs",
    (k) => processIds(k, dir).map((id) => `${id}\n`).join(""),
    (k, text) => attach(k, dir, text),
  );
  addFile(dir, "cgroup.controllers", () => (dir.hasMemory ? `${CONTROLLER}\n` : ""));
  addFile(
    dir,
    "cgroup.subtree_control",
    () => (dir.subtreeControl ? `${CONTROLLER}\n` : ""),
    (k, text) => storeSubtreeControl(k, dir, text),
  );
  if (!isRoot) addFile(dir, "cgroup.kill", null, (k, text) => storeKill(k, dir, text));
  if (!isRoot) addFile(dir, "cgroup.events", (k) => `populated ${populated(k, dir) ? 1 : 0}\nfrozen 0\n`);
  addFile(dir, "cgroup.stat", () => {
    const below = [...dir.descendants()];
    const enabled = below.filter((d) => d.hasMemory).length + (dir.hasMemory ? 1 : 0);
    const dying = dyingCount(dir.memcg);
    return (
      `nr_descendants ${below.length}\nnr_subsys_${CONTROLLER} ${enabled}\n` +
      `nr_dying_descendants ${dying}\nnr_dying_subsys_${CONTROLLER} ${dying}\n`
    );
  });
}

/** Kills everybody in a cgroup and those below it. */
function* storeKill(k: Kernel, dir: CgroupDir, text: string): MaySleep<number> {
  const { m } = k;
  const { mutex } = dir.cgroups;
  const value = parseInteger(text);
  if (value === null) return -Errno.EINVAL;
  if (value !== 1) return -Errno.ERANGE;
  if (!mutex.tryLock()) yield* mutex.lock();
  for (const group of [dir, ...dir.descendants()]) for (const process of processesOf(k, group.memcg)) m.signals.kill(process);
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  return 0;
}

/** Moves a process; what it has been charged for stays where it is. */
function* attach(k: Kernel, dir: CgroupDir, text: string): MaySleep<number> {
  const { m } = k;
  const id = parseInteger(text);
  if (id === null || id < 0 || id > INT_MAX) return -Errno.EINVAL;
  const { mutex } = dir.cgroups;
  if (!mutex.tryLock()) yield* mutex.lock();
  let error = 0;
  const task = id === 0 ? m.current! : (m.tasks.get(id) ?? null);
  const process = task?.process ?? m.processes.get(id) ?? null;
  if (dir.dead) error = -Errno.ENODEV;
  else if (task !== null && process === null) error = -Errno.EINVAL;
  else if (process === null || process.zombie) error = -Errno.ESRCH;
  // Processes and an enabled controller do not go together, save in the root.
  else if (dir.parent !== null && dir.subtreeControl) error = -Errno.EBUSY;
  else {
    process.memcg = dir.memcg;
    for (const thread of process.threads) thread.memcg = dir.memcg;
  }
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  return error;
}

function* storeSubtreeControl(k: Kernel, dir: CgroupDir, text: string): MaySleep<number> {
  let enable = dir.subtreeControl;
  for (const token of text.split(" ").filter((t) => t !== "")) {
    if (token === `+${CONTROLLER}`) enable = true;
    else if (token === `-${CONTROLLER}`) enable = false;
    else return -Errno.EINVAL;
  }
  const { mutex } = dir.cgroups;
  if (!mutex.tryLock()) yield* mutex.lock();
  let error = 0;
  if (dir.dead) error = -Errno.ENODEV;
  else if (enable && !dir.subtreeControl) {
    if (!dir.hasMemory) error = -Errno.ENOENT;
    else if (dir.parent !== null && processesOf(k, dir.memcg).length > 0) error = -Errno.EBUSY;
    else dir.subtreeControl = true;
  } else if (!enable && dir.subtreeControl) {
    if ([...dir.groups.values()].some((group) => group.subtreeControl)) error = -Errno.EBUSY;
    else {
      dir.subtreeControl = false;
      for (const group of dir.groups.values()) resetLimits(group.memcg);
    }
  }
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  return error;
}

function bytesLine(pages: number): string {
  return `${pages * PAGE_SIZE}\n`;
}

/** A limit: "max", or bytes. */
function limitLine(pages: number): string {
  return pages === Infinity ? "max\n" : bytesLine(pages);
}

/** A limit as written to a file, in pages, rounded down; a negated errno for nonsense. */
function parseLimit(text: string): number {
  if (text === "max") return Infinity;
  if (text === "") return 0;
  const parsed = memparse(text);
  if (parsed === null || parsed.rest !== "") return -Errno.EINVAL;
  const pages = Math.floor(parsed.bytes / PAGE_SIZE);
  // Nothing reaches 2^51 pages: Linux's counters stop there, and call it no limit.
  return pages >= 2 ** 51 ? Infinity : pages;
}

/** A file with a limit of the cgroup; `apply` takes pages. */
function addLimit(
  dir: CgroupDir,
  name: string,
  value: (memcg: Memcg) => number,
  apply: (k: Kernel, memcg: Memcg, pages: number) => MaySleep<number>,
): void {
  addFile(
    dir,
    name,
    () => limitLine(value(dir.memcg)),
    function* (k, text) {
      const pages = parseLimit(text);
      return pages < 0 ? pages : yield* apply(k, dir.memcg, pages);
    },
  );
}

/** memory.min and memory.low are kept and shown, but reclaim does not heed them yet: the log says so. */
function* protect(k: Kernel, memcg: Memcg, which: "min" | "low", pages: number): MaySleep<number> {
  if (k.m.point(Op.Memcg, memcg.id)) yield SWITCH;
  memcg[which] = pages;
  if (pages > 0) k.m.dmesg.printOnce(`cgroup: memory.${which} is not heeded by reclaim`);
  return 0;
}

function* setSwapMax(k: Kernel, memcg: Memcg, pages: number): MaySleep<number> {
  if (k.m.point(Op.Memcg, memcg.id)) yield SWITCH;
  memcg.swapMax = pages;
  return 0;
}

/**
 * memory.reclaim: an amount, reclaimed from the cgroup and those below it. The key `swappiness=`
 * is not supported: EINVAL.
 */
function* storeReclaim(k: Kernel, memcg: Memcg, text: string): MaySleep<number> {
  const parsed = memparse(text);
  if (parsed === null || parsed.rest.trim() !== "") return -Errno.EINVAL;
  return yield* k.vmscan.memoryReclaim(k, memcg, Math.floor(parsed.bytes / PAGE_SIZE));
}

function flat(events: object): string {
  return Object.entries(events as Record<string, number>).map(([name, n]) => `${name} ${n}\n`).join("");
}

/** Sums a group of counters over a cgroup and all below it. */
function subtreeSum<T extends Record<keyof T, number>>(memcg: Memcg, of: (m: Memcg) => T): T {
  const sum = { ...of(memcg) } as Record<keyof T, number>;
  for (const m of memcg.subtree()) {
    if (m === memcg) continue;
    for (const key of Object.keys(sum) as (keyof T)[]) sum[key] += of(m)[key];
  }
  return sum as T;
}

/** memory.events in Linux's order. */
function eventsText(e: Memcg["events"]): string {
  const { low, high, max, oom, oom_kill, oom_group_kill } = e;
  return flat({ low, high, max, oom, oom_kill, oom_group_kill });
}

function addMemoryFiles(dir: CgroupDir): void {
  const { memcg } = dir;
  if (dir.parent !== null) {
    addFile(dir, "memory.current", () => bytesLine(memcg.usage));
    addFile(dir, "memory.peak", () => bytesLine(memcg.peak));
    addLimit(dir, "memory.min", (c) => c.min, (k, c, pages) => protect(k, c, "min", pages));
    addLimit(dir, "memory.low", (c) => c.low, (k, c, pages) => protect(k, c, "low", pages));
    addLimit(dir, "memory.high", (c) => c.high, (k, c, pages) => k.memcgHigh.setHigh(k, c, pages));
    addLimit(dir, "memory.max", (c) => c.max, (k, c, pages) => k.memcg.setMax(k, c, pages));
    addFile(dir, "memory.events", () => eventsText(subtreeSum(memcg, (c) => c.events)));
    addFile(dir, "memory.events.local", () => eventsText(memcg.events));
  }
  addFile(dir, "memory.stat", () => memoryStat(memcg));
  addFile(dir, "memory.reclaim", null, (k, text) => storeReclaim(k, memcg, text));
  if (dir.parent !== null) {
    addFile(
      dir,
      "memory.oom.group",
      () => `${memcg.oomGroup ? 1 : 0}\n`,
      function* (k, text) {
        if (k.m.point(Op.Memcg, memcg.id)) yield SWITCH;
        const value = parseInteger(text);
        if (value !== 0 && value !== 1) return -Errno.EINVAL;
        memcg.oomGroup = value === 1;
        return 0;
      },
    );
    addFile(dir, "memory.swap.current", () => bytesLine(memcg.swapUsage));
    addLimit(dir, "memory.swap.max", (c) => c.swapMax, setSwapMax);
    addFile(dir, "memory.swap.events", () => flat(subtreeSum(memcg, (c) => c.swapEvents)));
  }
}

/** memory.stat: amounts in bytes, then events; of the cgroup and all below it, in Linux's order. */
function memoryStat(memcg: Memcg): string {
  const c = subtreeSum(memcg, (g) => g.counters);
  const lru = [0, 0, 0, 0, 0];
  for (const g of memcg.subtree()) g.lruvec.pages.forEach((n, i) => (lru[i]! += n));
  const amounts: readonly (readonly [string, number])[] = [
    ["anon", c.anon],
    // The swap cache counts as file memory, as in /proc/vmstat.
    ["file", c.file + c.swapcached],
    ["kernel", c.kernelStack + c.pagetables],
    ["kernel_stack", c.kernelStack],
    ["pagetables", c.pagetables],
    ["sec_pagetables", 0],
    ["percpu", 0],
    ["sock", 0],
    ["vmalloc", 0],
    ["shmem", c.shmem],
    ["zswap", 0],
    ["zswapped", 0],
    ["file_mapped", c.fileMapped],
    ["file_dirty", 0],
    ["file_writeback", 0],
    ["swapcached", c.swapcached],
    ["anon_thp", c.anonThp],
    ["file_thp", 0],
    ["shmem_thp", c.shmemThp],
    ["inactive_anon", lru[Lru.inactiveAnon]!],
    ["active_anon", lru[Lru.activeAnon]!],
    ["inactive_file", lru[Lru.inactiveFile]!],
    ["active_file", lru[Lru.activeFile]!],
    ["unevictable", lru[Lru.unevictable]!],
    ["slab_reclaimable", 0],
    ["slab_unreclaimable", 0],
    ["slab", 0],
  ];
  const events: readonly (readonly [string, number])[] = [
    ["pgscan", c.pgscanKswapd + c.pgscanDirect + c.pgscanProactive],
    ["pgsteal", c.pgstealKswapd + c.pgstealDirect + c.pgstealProactive],
    ["pswpin", c.pswpin],
    ["pswpout", c.pswpout],
    ["pgscan_kswapd", c.pgscanKswapd],
    ["pgscan_direct", c.pgscanDirect],
    ["pgscan_khugepaged", 0],
    ["pgscan_proactive", c.pgscanProactive],
    ["pgsteal_kswapd", c.pgstealKswapd],
    ["pgsteal_direct", c.pgstealDirect],
    ["pgsteal_khugepaged", 0],
    ["pgsteal_proactive", c.pgstealProactive],
    ["pgfault", c.pgfault],
    ["pgmajfault", c.pgmajfault],
    ["pgrefill", c.pgrefill],
    ["pgactivate", c.pgactivate],
    ["pgdeactivate", c.pgdeactivate],
    ["thp_fault_alloc", c.thpFaultAlloc],
    ["thp_collapse_alloc", c.thpCollapseAlloc],
  ];
  const line = ([name, n]: readonly [string, number]) => `${name} ${n}\n`;
  return amounts.map(([name, pages]) => line([name, pages * PAGE_SIZE])).join("") + events.map(line).join("");
}
