/**
 * @linux fs/proc/task_mmu.c
 * @own addEntry, gatherNumaStats, showNumaMaps
 */
import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op, tableObject } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, ptePresent } from "../../arch/pgtable.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { policyText, type Mempolicy } from "../../mm/mempolicy.js";
import type { Mm, Vma } from "../../mm/mm_types.js";
import { NO_PAGE, PG } from "../../mm/page.js";
import { vmaKernelPageSize, vmaName } from "./task_mmu.js";

/** Pages of one VMA, by kind; huge pages of hugetlb count one each. */
class NumaStats {
  pages = 0;
  anon = 0;
  active = 0;
  writeback = 0;
  mapmax = 0;
  dirty = 0;
  swapcache = 0;
  /** By node. */
  readonly nodes: number[] = [];
}

/** /proc/PID/numa_maps: which pages of a mapping lie on which node, and by which policy: that of the mapping, else that of the process's first thread. */
export function* showNumaMaps(k: Kernel, mm: Mm): MaySleep<string> {
  const owner = [...k.m.tasks.values()].find((task) => task.mm === mm);
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return "";
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let text = "";
  for (const vma of mm.vmas) {
    const stats = new NumaStats();
    yield* k.numaMaps.gatherNumaStats(k, vma, stats);
    text += numaLine(vma, k.mempolicy.ownPolicy(k, vma, vma.startVpn) ?? owner?.thread.mempolicy ?? null, stats);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return text;
}

function numaLine(vma: Vma, policy: Mempolicy | null, s: NumaStats): string {
  let line = `${(vma.startVpn * PAGE_SIZE).toString(16).padStart(8, "0")} ${policyText(policy)}`;
  const name = vmaName(vma);
  if (vma.file !== null) line += ` file=${name.replaceAll(/[\n\t= ]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`)}`;
  else if (name === "[heap]") line += " heap";
  else if (name === "[stack]") line += " stack";
  if (vma.isHugetlb) line += " huge";
  if (s.pages === 0) return `${line}\n`;
  if (s.anon > 0) line += ` anon=${s.anon}`;
  if (s.dirty > 0) line += ` dirty=${s.dirty}`;
  if (s.pages !== s.anon && s.pages !== s.dirty) line += ` mapped=${s.pages}`;
  if (s.mapmax > 1) line += ` mapmax=${s.mapmax}`;
  if (s.swapcache > 0) line += ` swapcache=${s.swapcache}`;
  if (s.active < s.pages && !vma.isHugetlb) line += ` active=${s.active}`;
  if (s.writeback > 0) line += ` writeback=${s.writeback}`;
  s.nodes.forEach((pages, node) => (line += ` N${node}=${pages}`));
  return `${line} kernelpagesize_kB=${vmaKernelPageSize(vma) / 1024}\n`;
}

/** Adds what the entries of a VMA map. mmap_lock is held for reading. */
export function* gatherNumaStats(k: Kernel, vma: Vma, stats: NumaStats): MaySleep<void> {
  const { m } = k;
  for (let vpn = vma.startVpn; vpn < vma.endVpn; ) {
    const end = Math.min(vma.endVpn, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const first = m.pt.find(vma.mm.pgd, vpn);
    if (first >= 0) {
      const huge = m.pt.isHuge(first);
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      const split = huge && m.pt.child(first) >= 0;
      for (let i = 0; i < (huge ? 1 : end - vpn) && !split; i++) {
        if (m.point(Op.PteRead, first + i)) yield SWITCH;
        k.numaMaps.addEntry(k, stats, m.pt.flags(first + i), m.pt.pfn(first + i), huge && !vma.isHugetlb ? HPAGE_PMD_NR : 1);
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      if (split) continue;
    }
    vpn = end;
    yield* m.sched.condResched();
  }
}

/** Adds what one entry maps, under its lock; the caller has announced the look. */
export function addEntry(k: Kernel, s: NumaStats, flags: number, pfn: number, pages: number): void {
  const { memmap } = k.m;
  const page = ptePresent(flags) && (flags & PTE.SPECIAL) === 0 ? memmap.pfnToPage(pfn) : NO_PAGE;
  if (page === NO_PAGE || memmap.has(page, PG.reserved) || memmap.isZoneDevice(page)) return;
  const folio = memmap.folioOf(page);
  s.pages += pages;
  const node = k.m.nodes.of(page);
  s.nodes[node] = (s.nodes[node] ?? 0) + pages;
  if ((flags & PTE.D) !== 0 || memmap.has(folio, PG.dirty)) s.dirty += pages;
  if (memmap.has(folio, PG.swapcache)) s.swapcache += pages;
  if (memmap.has(folio, PG.active | PG.unevictable)) s.active += pages;
  if (memmap.has(folio, PG.writeback)) s.writeback += pages;
  if (memmap.isAnon(folio)) s.anon += pages;
  s.mapmax = Math.max(s.mapmax, memmap.pageMapcount(page));
}
