import { PG, PTE, ptePresent, StableChain, type Kernel, type Mm } from "@faultline/kernel";

/** What is wrong with an entry that maps a KSM page; null when nothing is, and for any other. */
export function ksmEntryWrong(k: Kernel, flags: number, page: number): string | null {
  const { memmap } = k.m;
  if (!ptePresent(flags) || (flags & PTE.SPECIAL) !== 0 || page < 0 || !memmap.isKsm(memmap.folioOf(page))) return null;
  if ((flags & PTE.W) !== 0) return "can be written";
  return memmap.has(page, PG.anonExclusive) ? "is the only one that its page may have" : null;
}

/** What ksmd knows of pages agrees with itself, when nobody merges: each node is in a tree once, and what is counted is there. */
export function ksmBooks(k: Kernel, fail: (message: string) => void): void {
  const { ksm, memmap, mms } = k.m;
  if (ksm.nextNodeId === 1 && ksm.slots.length === 0) return;
  const count = (what: string, counted: number, found: number): void => {
    if (counted !== found) fail(`KSM counts ${counted} ${what}, and there are ${found}`);
  };
  const entries = ksm.stable.flat();
  const chains = entries.filter((entry) => entry instanceof StableChain);
  const nodes = [...entries.flatMap((entry) => (entry instanceof StableChain ? entry.dups : [entry])), ...ksm.astray];
  for (const node of nodes) {
    if (ksm.nodes.get(node.id) !== node) fail(`stable node ${node.id} is in a tree, and not known`);
    if (memmap.isKsm(node.page) && memmap.ksmNode(node.page) === node.id && memmap.refcount[node.page] === 0) fail(`frame ${node.page} is free, and stable node ${node.id} has it`);
    for (const item of node.items) if (item.node !== node || item.anonVma === null) fail(`page 0x${item.vpn.toString(16)} is one of stable node ${node.id}, and does not know`);
  }
  const items = ksm.slots.flatMap(({ items: known }) => known);
  count("stable nodes", ksm.nodes.size, nodes.length);
  count("chains", ksm.chains, chains.length);
  count("nodes of chains", ksm.dups, chains.reduce((sum, { dups }) => sum + dups.length, 0));
  count("shared pages", ksm.pagesShared, nodes.filter((node) => node.items.length > 0).length);
  count("sharing pages", ksm.pagesSharing, nodes.reduce((sum, node) => sum + Math.max(0, node.items.length - 1), 0));
  count("known pages", ksm.rmapItems, items.length);
  const merging = (mm: Mm): number => items.filter((item) => item.mm === mm && item.node !== null).length;
  for (const mm of mms) count(`merged pages in mm ${mm.id}`, mm.ksmMergingPages, merging(mm));
}
