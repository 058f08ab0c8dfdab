import type { Kernel } from "../../kernel.js";
import { LRU_LISTS } from "../../mm/lruvec.js";
import { PG } from "../../mm/page.js";
import { folioLruList } from "../../mm/swap.js";
import type { PageStates } from "../../mm/vmstat.js";
import { lruTotals } from "./meminfo.js";

/** What the pages of a node are used for. */
export interface NodeState {
  /** By list. */
  readonly lru: readonly number[];
  readonly pages: Readonly<PageStates>;
}

/** Of a node, or of the machine. The books are the machine's; where there are more nodes, each page is looked at. */
export function nodeState(k: Kernel, node?: number): NodeState {
  const { m } = k;
  if (node === undefined || m.nodes.count === 1) return { lru: lruTotals(k), pages: m.vmstat.pages };
  const { memmap } = m;
  const lru = new Array<number>(LRU_LISTS).fill(0);
  const pages = Object.fromEntries(Object.keys(m.vmstat.pages).map((name) => [name, 0])) as unknown as PageStates;
  // Stacks of the kernel have no pages of their own here.
  if (node === 0) pages.kernelStack = m.vmstat.pages.kernelStack;
  for (let page = m.nodes.startPage(node); page < m.nodes.endPage(node); page++) {
    if (memmap.has(page, PG.table)) pages.pageTables++;
    if (memmap.has(page, PG.hwpoison)) pages.hwpoison++;
    const folio = memmap.folioOf(page);
    if (memmap.has(page, PG.buddy | PG.reserved) || memmap.refcount[folio] === 0) continue;
    const anon = memmap.isAnon(folio);
    if (memmap.pageMapcount(page) > 0) pages[anon ? "anonMapped" : "fileMapped"]++;
    if (memmap.has(folio, PG.lru)) lru[folioLruList(k, folio)]!++;
    if (memmap.has(folio, PG.mlocked)) pages.mlock++;
    if (memmap.has(folio, PG.writeback)) pages.writeback++;
    if (memmap.has(folio, PG.swapcache)) pages.swapcached++;
    if (anon) {
      if (memmap.entireMapcount(folio) > 0) pages.anonThp++;
    } else if (memmap.isFile(folio) && !memmap.has(folio, PG.hugetlb)) {
      pages.filePages++;
      if (memmap.has(folio, PG.swapbacked)) pages.shmem++;
      if (memmap.has(folio, PG.dirty) && !memmap.has(folio, PG.swapbacked)) pages.dirty++;
      if (memmap.order[folio] === 9) pages.shmemThps++;
      if (memmap.entireMapcount(folio) > 0) pages.shmemPmdMapped++;
    }
  }
  return { lru, pages };
}
