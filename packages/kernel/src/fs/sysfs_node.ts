import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { Lru } from "../mm/lruvec.js";
import { nodeList } from "../mm/mempolicy.js";
import { ZoneId } from "../mm/zone.js";
import { nodeState } from "./proc/node_state.js";
import { nodeVmstat, numastat } from "./proc/vmstat.js";
import { parseBool, parseUnsigned, PseudoLink, TextFile, type PseudoDir, type PseudoFs, type Store } from "./pseudo.js";
import { addText, SYSFS_FILE_SIZE } from "./sysfs_file.js";

/** What lists of CPUs say that their size is. */
const CPU_LIST_SIZE = 28_672;

/** /sys/devices/system/node: which CPUs and which memory belong to which node. */
export function addNodes(fs: PseudoFs, m: Machine, dir: PseudoDir): void {
  const { nodes } = m;
  const all = Array.from({ length: nodes.count }, (_, node) => node);
  const list = (of: (k: Kernel, node: number) => boolean) => (k: Kernel) => `${nodeList(all.filter((node) => of(k, node)).reduce((mask, node) => mask | (1 << node), 0))}\n`;
  for (const name of ["online", "possible"]) addText(fs, dir, name, list(() => true));
  addText(fs, dir, "has_cpu", list((_k, node) => nodes.cpusOf(node).length > 0));
  addText(fs, dir, "has_memory", list((k, node) => k.m.zones.ofNode(node).some((zone) => zone.present > 0)));
  addText(fs, dir, "has_normal_memory", list((k, node) => k.m.zones.ofNode(node).some((zone) => zone.present > 0 && zone.id !== ZoneId.Movable)));
  addText(fs, dir, "has_generic_initiator", () => "\n");
  for (const node of all) addNode(fs, m, dir.dir(`node${node}`), node);
}

function addNode(fs: PseudoFs, m: Machine, dir: PseudoDir, node: number): void {
  const { nodes } = m;
  const cpus = nodes.cpusOf(node);
  const bits = cpus.reduce((mask, cpu) => mask | (1 << cpu), 0);
  addText(fs, dir, "cpulist", () => `${nodeList(bits)}\n`, CPU_LIST_SIZE);
  addText(fs, dir, "cpumap", (k) => `${bits.toString(16).padStart(Math.ceil(k.m.config.cpus / 4), "0")}\n`);
  addText(fs, dir, "distance", () => `${Array.from({ length: nodes.count }, (_, other) => nodes.distance(node, other)).join(" ")}\n`);
  addText(fs, dir, "meminfo", (k) => nodeMeminfo(k, node));
  addText(fs, dir, "numastat", (k) => numastat(k, node));
  addText(fs, dir, "vmstat", (k) => nodeVmstat(k, node));
  dir.add("compact", new TextFile(fs, { mode: 0o200, strict: true, size: SYSFS_FILE_SIZE, store: compact(node) }));
  for (const cpu of cpus) dir.add(`cpu${cpu}`, new PseudoLink(fs, () => `../../cpu/cpu${cpu}`));
  for (const { id, firstPage } of m.memoryBlocks.list) {
    if (nodes.of(firstPage) === node) dir.add(`memory${id}`, new PseudoLink(fs, () => `../../memory/memory${id}`));
  }
}

/** /sys/kernel/mm/numa and swap: settings that mean something with memory of several tiers, and other disks; mempolicy: turns of nodes. */
export function addMmSettings(fs: PseudoFs, m: Machine, mm: PseudoDir): void {
  const interleave = mm.dir("mempolicy").dir("weighted_interleave");
  addAuto(fs, interleave);
  for (let node = 0; node < m.nodes.count; node++) addWeight(fs, interleave, node);
  addBoolean(fs, mm.dir("numa"), "demotion_enabled", (k) => k.m.demotionEnabled, (k, on) => {
    k.m.demotionEnabled = on;
    return 0;
  });
  addBoolean(fs, mm.dir("swap"), "vma_ra_enabled", (k) => k.m.vmaReadahead, (k, on) => {
    k.m.vmaReadahead = on;
    return 0;
  });
}

/** Whether weights follow from bandwidths: that cannot be asked for where none are known (ENODEV). */
function addAuto(fs: PseudoFs, dir: PseudoDir): void {
  addBoolean(fs, dir, "auto", (k) => k.m.numa.weightsAuto, (k, on) => {
    if (on) return -Errno.ENODEV;
    k.m.numa.weightsAuto = false;
    return 0;
  }, 0o664);
}

/** How many pages in a row a node gets: 1 to 255. One that is set by hand ends that all follow from bandwidths. */
function addWeight(fs: PseudoFs, dir: PseudoDir, node: number): void {
  const store: Store = function* (k, text) {
    if (k.m.point(Op.Stats, 0)) yield SWITCH;
    const weight = parseUnsigned(text);
    if (weight === null || weight < 1 || weight > 255) return -Errno.EINVAL;
    k.m.numa.weights[node] = weight;
    k.m.numa.weightsAuto = false;
    return 0;
  };
  const show = function* (k: Kernel): MaySleep<string> {
    if (k.m.point(Op.Stats, 0)) yield SWITCH;
    return `${k.m.numa.weights[node]}\n`;
  };
  dir.add(`node${node}`, new TextFile(fs, { mode: 0o644, strict: true, size: SYSFS_FILE_SIZE, show, store }));
}

/** A setting that is shown as true or false, and taken as kstrtobool() takes it. */
function addBoolean(fs: PseudoFs, dir: PseudoDir, name: string, get: (k: Kernel) => boolean, set: (k: Kernel, on: boolean) => number, mode = 0o644): void {
  const store: Store = function* (k, text) {
    if (k.m.point(Op.Stats, 0)) yield SWITCH;
    const on = parseBool(text);
    return on === null ? -Errno.EINVAL : set(k, on);
  };
  dir.add(
    name,
    new TextFile(fs, {
      mode,
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
function compact(node: number): Store {
  return function* (k: Kernel): MaySleep<number> {
    yield* k.compaction.compactNode(k, node);
    return 0;
  };
}

/** meminfo of a node, in kB. */
function nodeMeminfo(k: Kernel, node: number): string {
  const { zones, hugetlb } = k.m;
  const { pages, lru } = nodeState(k, node);
  const of = (list: Lru): number => lru[list]!;
  const total = zones.totalPages(zones.ofNode(node));
  const free = zones.freePages(zones.ofNode(node));
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
  const h = hugetlb.defaultHstate.ofNode(node);
  const huge: readonly (readonly [name: string, n: number])[] = [
    ["Total", h.nrHugePages],
    ["Free", h.freeHugePages],
    ["Surp", h.surplusHugePages],
  ];
  return (
    rows.map(([name, n]) => `Node ${node} ${`${name}:`.padEnd(15)} ${String(n * 4).padStart(8)} kB\n`).join("") +
    huge.map(([name, n]) => `Node ${node} HugePages_${`${name}:`.padEnd(6)} ${String(n).padStart(5)}\n`).join("")
  );
}
