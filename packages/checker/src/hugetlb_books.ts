import { HPG, NO_PAGE, PG, VM, type Hstate, type Kernel, type Vma } from "@faultline/kernel";

/**
 * The books of the pools of huge pages, at rest: what is on the free list, what there is in all, and
 * that as much is reserved as files, mappings and mounts have been promised.
 */
export function hugetlbBooks(k: Kernel, fail: (message: string) => void): void {
  for (const h of k.m.hugetlb.hstates) {
    if (h.nrHugePages === 0 && h.freeHugePages === 0 && h.resvHugePages === 0 && h.surplusHugePages === 0) continue;
    poolBooks(k, h, fail);
  }
}

function poolBooks(k: Kernel, h: Hstate, fail: (message: string) => void): void {
  const { memmap, hugetlb } = k.m;
  let free = 0;
  let restored = 0;
  for (let folio = h.free.head; folio !== NO_PAGE; folio = memmap.lruNext[folio]!) {
    free++;
    if (!memmap.has(folio, PG.hugetlb) || memmap.refcount[folio] !== 0) fail(`frame ${folio} is free in ${h.name}, and is in use, or no hugetlb folio`);
  }
  let all = 0;
  for (let folio = 0; folio < memmap.nrPages; folio++) {
    if (!memmap.has(folio, PG.hugetlb) || memmap.order[folio] !== h.order) continue;
    all++;
    if ((memmap.private[folio]! & HPG.restoreReserve) !== 0) restored++;
  }
  const compare = (what: string, is: number, expected: number): void => {
    if (is !== expected) fail(`${what} of ${h.name} is ${is}, and should be ${expected}`);
  };
  compare("free_hugepages", h.freeHugePages, free);
  compare("nr_hugepages", h.nrHugePages, all);
  // A folio that goes back to what is reserved has been taken from there, or is promised to its owner already.
  compare("resv_hugepages", h.resvHugePages + restored, promised(k, h));
  if (h.surplus.some((n) => n < 0) || h.surplusHugePages > h.nrHugePages) fail(`surplus_hugepages of ${h.name} is ${h.surplusHugePages}`);
  for (const folio of hugetlb.subpools.keys()) if (memmap.refcount[folio] === 0) fail(`frame ${folio} is free, and counted in a subpool`);
}

/** Huge pages that somebody may have without asking for more. */
function promised(k: Kernel, h: Hstate): number {
  let n = 0;
  for (const fs of k.m.hugetlb.mounts) {
    if (fs.hstate !== h) continue;
    n += fs.spool?.reserved ?? 0;
    for (const { resv, mapping } of fs.inodes) for (const index of resv.indices) if (mapping.at(index * h.pages) === NO_PAGE) n++;
  }
  for (const mm of k.m.mms) for (const vma of mm.vmas) n += promisedTo(vma, h);
  return n;
}

/** Pages of a private mapping that are reserved for it. */
function promisedTo(vma: Vma, h: Hstate): number {
  const resv = vma.hugetlb?.resv ?? null;
  if (resv === null || (vma.flags & VM.MAYSHARE) !== 0) return 0;
  const start = vma.pgoff / h.pages;
  return resv.missing(start, start + vma.pages / h.pages);
}
