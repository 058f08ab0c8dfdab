import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { LRU_LISTS, Lru } from "../../mm/lruvec.js";
import { PG, RAM_BASE_PFN } from "../../mm/page.js";
import { MIGRATE_TYPES, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "../../mm/pageblock.js";
import { MAX_PAGE_ORDER, NR_ZONES, type Zone } from "../../mm/zone.js";
import { folioLruList } from "../../mm/swap.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { lruTotals } from "./meminfo.js";

/** Columns as in include/linux/mmzone.h's users: a zone's name is padded to eight. */
function zoneHeader(zone: Zone): string {
  return `Node 0, zone ${zone.name.padStart(8)}`;
}

/** Pages on LRU lists by zone: the lists belong to cgroups, so they are counted page by page. */
function lruByZone(k: Kernel): number[][] {
  const { memmap, zones } = k.m;
  const counts = zones.list.map(() => new Array<number>(LRU_LISTS).fill(0));
  for (let page = 0; page < memmap.nrPages; page++) {
    if (!memmap.has(page, PG.lru)) continue;
    counts[zones.zoneOf(page).id]![folioLruList(k, page)]! += memmap.folioPages(page);
  }
  return counts;
}

/** A line of a counter, its name in 12 columns. */
function counter(name: string, n: number): string {
  return `\n      ${name.padEnd(12)} ${n}`;
}

const LRU_NAMES: readonly (readonly [string, Lru])[] = [
  ["inactive_anon", Lru.inactiveAnon],
  ["active_anon", Lru.activeAnon],
  ["inactive_file", Lru.inactiveFile],
  ["active_file", Lru.activeFile],
  ["unevictable", Lru.unevictable],
];

/** /proc/zoneinfo. Counters that nothing here can change are left out. */
export function* showZoneinfo(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const { zones, vmstat } = m;
  const byZone = lruByZone(k);
  let text = "";
  let first = true;
  for (const zone of zones.list) {
    text += zoneHeader(zone);
    if (first && zone.managed > 0) {
      first = false;
      const totals = lruTotals(k);
      text += "\n  per-node stats";
      for (const [name, lru] of LRU_NAMES) text += counter(`nr_${name}`, totals[lru]!);
      text += counter("nr_anon_pages", vmstat.pages.anonMapped);
      text += counter("nr_mapped", 0);
      text += counter("nr_file_pages", vmstat.pages.filePages + vmstat.pages.swapcached);
      text += counter("nr_dirty", vmstat.pages.dirty);
      text += counter("nr_writeback", vmstat.pages.writeback);
      text += counter("nr_shmem", vmstat.pages.shmem);
      text += counter("nr_kernel_stack", vmstat.pages.kernelStack * 4);
      text += counter("nr_page_table_pages", vmstat.pages.pageTables);
      text += counter("nr_swapcached", vmstat.pages.swapcached);
    }
    const row = (name: string, n: number): string => `\n        ${name.padEnd(8)} ${n}`;
    text +=
      `\n  pages free     ${zone.free}` +
      row("boost", 0) +
      row("min", zone.min) +
      row("low", zone.low) +
      row("high", zone.high) +
      row("promo", zone.promo) +
      row("spanned", zone.endPage - zone.startPage) +
      row("present", zone.present) +
      row("managed", zone.managed) +
      row("cma", 0) +
      `\n        protection: (${zone.lowmemReserve.join(", ")})`;
    if (zone.present > 0) {
      text += counter("nr_free_pages", zone.free);
      for (const [name, lru] of LRU_NAMES) text += counter(`nr_zone_${name}`, byZone[zone.id]![lru]!);
      text += "\n  pagesets";
      for (let cpu = 0; cpu < m.config.cpus; cpu++) {
        const column = (name: string, n: number): string => `\n              ${name.padEnd(9)} ${n}`;
        text +=
          `\n    cpu: ${cpu}` +
          column("count:", zones.pcpPages(cpu, zone.id)) +
          column("high:", zone.pcpDisabled > 0 ? 0 : zones.batch * 4) +
          column("batch:", zone.pcpDisabled > 0 ? 1 : zones.batch);
      }
      text += `\n  node_unreclaimable:  0\n  start_pfn:           ${RAM_BASE_PFN + zone.startPage}`;
    }
    text += "\n";
  }
  return text;
}

/** /proc/buddyinfo: free blocks by order, of the zones that have memory. */
export function* showBuddyinfo(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  let text = "";
  for (const zone of k.m.zones.list) {
    if (zone.present === 0) continue;
    text += `${zoneHeader(zone)} `;
    for (let order = 0; order <= MAX_PAGE_ORDER; order++) text += `${String(zone.freeBlocks(order)).padStart(6)} `;
    text += "\n";
  }
  return text;
}

/** /proc/pagetypeinfo. */
export function* showPagetypeinfo(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const { zones } = m;
  const types = Array.from({ length: MIGRATE_TYPES }, (_, type) => type);
  let text = `Page block order: ${PAGEBLOCK_ORDER}\nPages per block:  ${PAGEBLOCK_PAGES}\n\n`;
  text += `${"Free pages count per migrate type at order".padEnd(43)} `;
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) text += `${String(order).padStart(6)} `;
  text += "\n";
  const populated = zones.list.filter((zone) => zone.present > 0);
  for (const zone of populated) {
    for (const type of types) {
      text += `Node ${"0".padStart(4)}, zone ${zone.name.padStart(8)}, type ${MigrateType[type]!.padStart(12)} `;
      for (let order = 0; order <= MAX_PAGE_ORDER; order++) text += `${String(zone.freeBlocks(order, type)).padStart(6)} `;
      text += "\n";
    }
  }
  text += `\n${"Number of blocks type".padEnd(23)}`;
  for (const type of types) text += `${MigrateType[type]!.padStart(12)} `;
  text += "\n";
  const counts = Array.from({ length: NR_ZONES }, () => new Array<number>(MIGRATE_TYPES).fill(0));
  for (let page = 0; page < m.config.frames; page += PAGEBLOCK_PAGES) {
    if (zones.isOnline(page)) counts[zones.zoneOf(page).id]![zones.blocks.listOf(page)]!++;
  }
  for (const zone of populated) {
    text += `Node 0, zone ${zone.name.padStart(8)} `;
    for (const type of types) text += `${String(counts[zone.id]![type]!).padStart(12)} `;
    text += "\n";
  }
  return text;
}

/** /proc/iomem, as root sees it: RAM, and in it what the kernel image takes. */
export function* showIomem(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const address = (page: number): number => (RAM_BASE_PFN + page) * PAGE_SIZE;
  const line = (from: number, end: number, name: string, indent = ""): string =>
    `${indent}${from.toString(16).padStart(8, "0")}-${(end - 1).toString(16).padStart(8, "0")} : ${name}\n`;
  const reserved = m.zones.reservedPages;
  // The kernel's own memory: code first, then data; the memmap lies behind and is reserved as well.
  const code = Math.max(1, reserved >> 2);
  const data = Math.max(code + 1, reserved >> 1);
  return (
    line(address(0), address(m.config.frames), "System RAM") +
    line(address(0), address(code), "Kernel code", "  ") +
    line(address(code), address(data), "Kernel data", "  ") +
    line(address(data), address(reserved), "Reserved", "  ")
  );
}
