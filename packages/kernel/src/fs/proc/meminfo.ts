import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { LRU_LISTS, Lru } from "../../mm/lruvec.js";
import { unsignedText } from "../sysfs_hugetlb.js";

/** Sv39 leaves 64 GiB of the kernel's half to vmalloc. */
const VMALLOC_TOTAL_KB = 67_108_863;

/** Pages on the LRU lists of all cgroups, by list. */
export function lruTotals(k: Kernel): number[] {
  const totals = new Array<number>(LRU_LISTS).fill(0);
  for (const memcg of k.m.memcgs.root.subtree()) {
    for (let lru = 0; lru < LRU_LISTS; lru++) totals[lru]! += memcg.lruvec.pages[lru]!;
  }
  return totals;
}

/** An estimate of what a new program could have without swapping: MemAvailable, in pages. */
function availablePages(k: Kernel, lru: readonly number[]): number {
  const { zones } = k.m;
  let low = 0;
  for (const zone of zones.list) low += zone.low;
  const cache = lru[Lru.activeFile]! + lru[Lru.inactiveFile]!;
  return Math.max(0, zones.freePages() - zones.reservePages() + cache - Math.min(cache >> 1, low));
}

/** /proc/meminfo, with the lines of a riscv64 kernel. What does not exist here is zero. */
export function* showMeminfo(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const { zones, swap, vmstat } = m;
  const lru = lruTotals(k);
  const inactiveAnon = lru[Lru.inactiveAnon]!;
  const activeAnon = lru[Lru.activeAnon]!;
  const inactiveFile = lru[Lru.inactiveFile]!;
  const activeFile = lru[Lru.activeFile]!;
  let text = "";
  const kbLine = (name: string, kb: number) => {
    text += `${`${name}:`.padEnd(16)}${String(kb).padStart(8)} kB\n`;
  };
  const line = (name: string, pages: number) => kbLine(name, pages * 4);
  const total = zones.totalPages();
  line("MemTotal", total);
  line("MemFree", zones.freePages());
  line("MemAvailable", availablePages(k, lru));
  line("Buffers", 0);
  line("Cached", vmstat.pages.filePages);
  line("SwapCached", vmstat.pages.swapcached);
  line("Active", activeAnon + activeFile);
  line("Inactive", inactiveAnon + inactiveFile);
  line("Active(anon)", activeAnon);
  line("Inactive(anon)", inactiveAnon);
  line("Active(file)", activeFile);
  line("Inactive(file)", inactiveFile);
  line("Unevictable", lru[Lru.unevictable]!);
  line("Mlocked", vmstat.pages.mlock);
  line("SwapTotal", swap.total);
  line("SwapFree", swap.free);
  kbLine("Zswap", 0);
  kbLine("Zswapped", 0);
  line("Dirty", vmstat.pages.dirty);
  line("Writeback", vmstat.pages.writeback);
  line("AnonPages", vmstat.pages.anonMapped);
  line("Mapped", vmstat.pages.fileMapped);
  line("Shmem", vmstat.pages.shmem);
  line("KReclaimable", 0);
  line("Slab", 0);
  line("SReclaimable", 0);
  line("SUnreclaim", 0);
  kbLine("KernelStack", vmstat.pages.kernelStack * 4);
  line("PageTables", vmstat.pages.pageTables);
  line("SecPageTables", 0);
  line("NFS_Unstable", 0);
  line("Bounce", 0);
  line("WritebackTmp", 0);
  line("CommitLimit", k.overcommit.commitLimit(k));
  line("Committed_AS", k.overcommit.committedPages(k));
  kbLine("VmallocTotal", VMALLOC_TOTAL_KB);
  kbLine("VmallocUsed", 0);
  line("VmallocChunk", 0);
  line("Percpu", 0);
  text += `HardwareCorrupted: ${String(vmstat.pages.hwpoison * 4).padStart(5)} kB\n`;
  line("AnonHugePages", vmstat.pages.anonThp);
  line("ShmemHugePages", vmstat.pages.shmemThps);
  line("ShmemPmdMapped", vmstat.pages.shmemPmdMapped);
  line("FileHugePages", 0);
  line("FilePmdMapped", 0);
  line("CmaTotal", 0);
  line("CmaFree", 0);
  line("Balloon", 0);
  line("GPUActive", 0);
  line("GPUReclaim", 0);
  const h = m.hugetlb.defaultHstate;
  const counts: [string, number][] = [
    ["Total", h.nrHugePages],
    ["Free", h.freeHugePages],
    ["Rsvd", h.resvHugePages],
    ["Surp", h.surplusHugePages],
  ];
  for (const [name, n] of counts) text += `${`HugePages_${name}:`.padEnd(16)}${unsignedText(n).padStart(8)}\n`;
  kbLine("Hugepagesize", h.bytes / 1024);
  line("Hugetlb", m.hugetlb.totalPages());
  return text;
}
