import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { Lru } from "../mm/lruvec.js";
import { cpuList } from "./proc/array.js";
import { lruTotals } from "./proc/meminfo.js";
import { compactMemory } from "./proc/sysctl_vm.js";
import { nodeVmstat, numastat } from "./proc/vmstat.js";
import { PseudoLink, TextFile, type PseudoDir, type PseudoFs, type Store } from "./pseudo.js";
import { addText, SYSFS_FILE_SIZE } from "./sysfs_file.js";

/** What lists of CPUs say that their size is. */
const CPU_LIST_SIZE = 28_672;

/** /sys/devices/system/node: the one node that all memory and all CPUs belong to. */
export function addNodes(fs: PseudoFs, m: Machine, dir: PseudoDir): void {
  for (const name of ["online", "possible", "has_cpu", "has_memory", "has_normal_memory"]) addText(fs, dir, name, () => "0\n");
  addText(fs, dir, "has_generic_initiator", () => "\n");
  const node = dir.dir("node0");
  addText(fs, node, "cpulist", (k) => `${cpuList(k.m.config.cpus)}\n`, CPU_LIST_SIZE);
  addText(fs, node, "cpumap", (k) => `${(2 ** k.m.config.cpus - 1).toString(16)}\n`);
  addText(fs, node, "distance", () => "10\n");
  addText(fs, node, "meminfo", nodeMeminfo);
  addText(fs, node, "numastat", numastat);
  addText(fs, node, "vmstat", nodeVmstat);
  node.add("compact", new TextFile(fs, { mode: 0o200, strict: true, size: SYSFS_FILE_SIZE, store: compact }));
  for (let cpu = 0; cpu < m.config.cpus; cpu++) node.add(`cpu${cpu}`, new PseudoLink(fs, () => `../../cpu/cpu${cpu}`));
  for (const { id } of m.memoryBlocks.list) node.add(`memory${id}`, new PseudoLink(fs, () => `../../memory/memory${id}`));
}

/** /sys/kernel/mm/numa and swap: settings that mean something on machines with more nodes, and other disks. */
export function addMmSettings(fs: PseudoFs, mm: PseudoDir): void {
  addBoolean(fs, mm.dir("numa"), "demotion_enabled", (k) => k.m.demotionEnabled, (k, on) => (k.m.demotionEnabled = on));
  addBoolean(fs, mm.dir("swap"), "vma_ra_enabled", (k) => k.m.vmaReadahead, (k, on) => (k.m.vmaReadahead = on));
}

/** A setting that is shown as true or false, and taken as kstrtobool() takes it. */
function addBoolean(fs: PseudoFs, dir: PseudoDir, name: string, get: (k: Kernel) => boolean, set: (k: Kernel, on: boolean) => void): void {
  const store: Store = function* (k, text) {
    if (k.m.point(Op.Stats, 0)) yield SWITCH;
    const on = /^([yYtT1]|[oO][nN])/.test(text);
    if (!on && !/^([nNfF0]|[oO][fF])/.test(text)) return -Errno.EINVAL;
    set(k, on);
    return 0;
  };
  dir.add(
    name,
    new TextFile(fs, {
      mode: 0o644,
      strict: true,
      size: SYSFS_FILE_SIZE,
      *show(k) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        return `${get(k)}\n`;
      },
      store,
    }),
  );
}

/** Whatever is written asks for it. */
function* compact(k: Kernel): MaySleep<number> {
  return yield* compactMemory(k);
}

/** meminfo of the node, in kB. */
function nodeMeminfo(k: Kernel): string {
  const { zones, vmstat, hugetlb } = k.m;
  const { pages } = vmstat;
  const lru = lruTotals(k);
  const of = (list: Lru): number => lru[list]!;
  const total = zones.totalPages();
  const free = zones.freePages();
  const rows: readonly (readonly [name: string, pages: number])[] = [
    ["MemTotal", total],
    ["MemFree", free],
    ["MemUsed", total - free],
    ["SwapCached", pages.swapcached],
    ["Active", of(Lru.activeAnon) + of(Lru.activeFile)],
    ["Inactive", of(Lru.inactiveAnon) + of(Lru.inactiveFile)],
    ["Active(anon)", of(Lru.activeAnon)],
    ["Inactive(anon)", of(Lru.inactiveAnon)],
    ["Active(file)", of(Lru.activeFile)],
    ["Inactive(file)", of(Lru.inactiveFile)],
    ["Unevictable", of(Lru.unevictable)],
    ["Mlocked", pages.mlock],
    ["Dirty", pages.dirty],
    ["Writeback", pages.writeback],
    ["FilePages", pages.filePages + pages.swapcached],
    ["Mapped", pages.fileMapped],
    ["AnonPages", pages.anonMapped],
    ["Shmem", pages.shmem],
    ["KernelStack", pages.kernelStack],
    ["PageTables", pages.pageTables],
    ["SecPageTables", 0],
    ["NFS_Unstable", 0],
    ["Bounce", 0],
    ["WritebackTmp", 0],
    ["KReclaimable", 0],
    ["Slab", 0],
    ["SReclaimable", 0],
    ["SUnreclaim", 0],
    ["AnonHugePages", pages.anonThp],
    ["ShmemHugePages", pages.shmemThps],
    ["ShmemPmdMapped", pages.shmemPmdMapped],
    ["FileHugePages", 0],
    ["FilePmdMapped", 0],
    ["Balloon", 0],
    ["GPUActive", 0],
    ["GPUReclaim", 0],
  ];
  const h = hugetlb.defaultHstate;
  const huge: readonly (readonly [name: string, n: number])[] = [
    ["Total", h.nrHugePages],
    ["Free", h.freeHugePages],
    ["Surp", h.surplusHugePages],
  ];
  return (
    rows.map(([name, n]) => `Node 0 ${`${name}:`.padEnd(15)} ${String(n * 4).padStart(8)} kB\n`).join("") +
    huge.map(([name, n]) => `Node 0 HugePages_${`${name}:`.padEnd(6)} ${String(n).padStart(5)}\n`).join("")
  );
}
