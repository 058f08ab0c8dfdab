import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { RAM_BASE_PFN } from "../../mm/page.js";
import { MIGRATE_TYPES, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "../../mm/pageblock.js";
import { MAX_PAGE_ORDER, NR_ZONES, ZoneId } from "../../mm/zone.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { nodeCounters, zoneCounters, zoneUses } from "./vmstat.js";

/** Columns as in include/linux/mmzone.h's users: a zone's name is padded to eight. */
function zoneHeader(node: number, name: string): string {
  return `Node ${node}, zone ${name.padStart(8)}`;
}

/** A line of a counter, its name in 12 columns. */
function counter(name: string, n: number): string {
  return `\n      ${name.padEnd(12)} ${n}`;
}

/** /proc/zoneinfo. The zone of device memory is there, and empty. */
export function* showZoneinfo(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const { zones } = m;
  const uses = zoneUses(k);
  let text = "";
  let told = -1;
  const none = { free: 0, min: 0, low: 0, high: 0, promo: 0, spanned: 0, present: 0, managed: 0 };
  for (const zone of zones.list) {
    text += zoneHeader(zone.node, zone.name);
    if (told !== zone.node && zone.managed > 0) {
      told = zone.node;
      text += "\n  per-node stats";
      for (const [name, n] of nodeCounters(k, zone.node)) text += counter(name, n);
    }
    const { min, low, high, promo, present, managed } = zone;
    text += pagesOf({ free: zone.free, min, low, high, promo, spanned: zone.endPage - zone.startPage, present, managed }, zone.lowmemReserve);
    if (zone.present > 0) {
      for (const [name, n] of zoneCounters(zone, uses[zone.index]!)) text += counter(name, n);
      text += "\n  pagesets";
      for (let cpu = 0; cpu < m.config.cpus; cpu++) {
        const column = (name: string, n: number): string => `\n              ${name.padEnd(9)} ${n}`;
        text +=
          `\n    cpu: ${cpu}` +
          column("count:", zones.pcpPages(cpu, zone)) +
          column("high:", zone.pcpDisabled > 0 ? 0 : zones.batch * 4) +
          column("batch:", zone.pcpDisabled > 0 ? 1 : zones.batch) +
          column("high_min:", zones.batch * 4) +
          column("high_max:", zones.batch * 4) +
          `\n  vm stats threshold: ${statThreshold(m.config.cpus, zone.managed)}`;
      }
      text += `\n  node_unreclaimable:  0\n  start_pfn:           ${RAM_BASE_PFN + zone.startPage}`;
      text += "\n  reserved_highatomic: 0\n  free_highatomic:     0";
    }
    text += "\n";
    if (zone.id === ZoneId.Movable) text += `${zoneHeader(zone.node, "Device")}${pagesOf(none, new Array<number>(NR_ZONES).fill(0))}\n`;
  }
  return text;
}

/** The lines that each zone has, empty or not. */
function pagesOf(pages: Readonly<Record<"free" | "min" | "low" | "high" | "promo" | "spanned" | "present" | "managed", number>>, reserve: readonly number[]): string {
  const row = (name: string, n: number): string => `\n        ${name.padEnd(8)} ${n}`;
  const { free, min, low, high, promo, spanned, present, managed } = pages;
  return (
    `\n  pages free     ${free}` +
    row("boost", 0) +
    row("min", min) +
    row("low", low) +
    row("high", high) +
    row("promo", promo) +
    row("spanned", spanned) +
    row("present", present) +
    row("managed", managed) +
    row("cma", 0) +
    `\n        protection: (${[...reserve, reserve.at(-1)].join(", ")})`
  );
}

/** What a CPU counts by itself before it adds to the sum: grows with CPUs and with units of 128 MiB, up to 125. */
function statThreshold(cpus: number, managed: number): number {
  const bits = (n: number): number => 32 - Math.clz32(n);
  return Math.min(125, 2 * bits(cpus) * (1 + bits(managed >> 15)));
}

/** /proc/buddyinfo: free blocks by order, of the zones that have memory. */
export function* showBuddyinfo(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  let text = "";
  for (const zone of k.m.zones.list) {
    if (zone.present === 0) continue;
    text += `${zoneHeader(zone.node, zone.name)} `;
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
      text += `Node ${String(zone.node).padStart(4)}, zone ${zone.name.padStart(8)}, type ${MigrateType[type]!.padStart(12)} `;
      for (let order = 0; order <= MAX_PAGE_ORDER; order++) text += `${String(zone.freeBlocks(order, type)).padStart(6)} `;
      text += "\n";
    }
  }
  text += `\n${"Number of blocks type".padEnd(23)}`;
  for (const type of types) text += `${MigrateType[type]!.padStart(12)} `;
  text += "\n";
  const counts = Array.from({ length: zones.list.length }, () => new Array<number>(MIGRATE_TYPES).fill(0));
  for (let page = 0; page < m.config.frames; page += PAGEBLOCK_PAGES) {
    if (zones.isOnline(page)) counts[zones.zoneOf(page).index]![zones.blocks.listOf(page)]!++;
  }
  for (const zone of populated) {
    text += `Node ${zone.node}, zone ${zone.name.padStart(8)} `;
    for (const type of types) text += `${String(counts[zone.index]![type]!).padStart(12)} `;
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
