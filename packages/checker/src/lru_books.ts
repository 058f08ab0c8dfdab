import { Lru, NO_PAGE, PG, type Kernel, type Memcg } from "@faultline/kernel";

/**
 * The LRU lists at rest: a folio with PG.lru is on the list that its flags and its cgroup name,
 * once, and on no other; what is mapped is on one, or on its way; the lists' counts are of what they have. `fail` gets each exception.
 */
export function lruBooks(k: Kernel, fail: (message: string) => void): void {
  const { memmap, memcgs, batches } = k.m;
  const listed = new Uint8Array(memmap.nrPages);
  const walk = (memcg: Memcg, lru: Lru): void => {
    const { lists, pages } = memcg.lruvec;
    const list = lists[lru]!;
    // Most lists are empty, and names are for those that are wrong.
    if (list.head === NO_PAGE && list.tail === NO_PAGE && list.length === 0 && pages[lru] === 0) return;
    const name = `${Lru[lru]} of ${memcg.path}`;
    let folios = 0;
    let pagesListed = 0;
    let before = NO_PAGE;
    for (let folio = list.head; folio !== NO_PAGE; folio = memmap.lruNext[folio]!) {
      if (listed[folio] !== 0) return fail(`frame ${folio} is on ${name}, and on a list already`);
      listed[folio] = 1;
      if (memmap.lruPrev[folio] !== before) fail(`frame ${folio} on ${name} is not linked to frame ${before} before it`);
      if (!memmap.has(folio, PG.lru)) fail(`frame ${folio} is on ${name}, and not marked as on a list`);
      if (k.swap.folioLruList(k, folio) !== lru || memcgs.get(memmap.memcg[folio]!) !== memcg) fail(`frame ${folio} is on ${name}, and belongs elsewhere`);
      folios++;
      pagesListed += memmap.folioPages(folio);
      before = folio;
    }
    if (list.tail !== before) fail(`${name} ends with frame ${before}, and frame ${list.tail} is its tail`);
    if (list.length !== folios) fail(`${name} counts ${list.length} folios, and has ${folios}`);
    if (pages[lru] !== pagesListed) fail(`${name} counts ${pages[lru]} pages, and has ${pagesListed}`);
  };
  const walkAll = (memcg: Memcg): void => {
    for (let lru = 0; lru < memcg.lruvec.lists.length; lru++) walk(memcg, lru);
    for (const child of memcg.children.values()) walkAll(child);
  };
  walkAll(memcgs.root);
  // Memory of devices is on no list.
  for (let page = 0; page < memmap.ramPages; page++) {
    if (listed[page] !== 0) continue;
    if (memmap.has(page, PG.lru)) fail(`frame ${page} is marked as on an LRU list, and is on none`);
    const mapped = memmap.refcount[page] !== 0 && memmap.folioOf(page) === page && memmap.isAnon(page) && memmap.folioMapcount(page) > 0;
    if (mapped && !memmap.has(page, PG.hugetlb) && batches.references(page) === 0) fail(`frame ${page} is mapped, and reclaim never comes to it: it is on no LRU list and in no batch`);
  }
}
