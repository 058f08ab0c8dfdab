/**
 * @linux mm/ksm.c
 * @omits Red-black trees: those here are arrays in the order of their pages' contents, as if always in balance.
 * @omits A KSM page in device-private memory, which no CPU can read: Linux compares with it all the same; nothing is merged
 *   with one here.
 * @own comparePages, goAstray, dropRmapItem, nidOf, placeInStableTree, stableNodeOf, takeOutOfStableTree, treeCandidate
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { NO_SCAN, RmapItem, StableChain, StableNode, type StableEntry } from "./ksm_state.js";
import { NO_PAGE } from "./page.js";

const NSEC_PER_MSEC = 1_000_000;
/** Machine time of comparing two pages, besides its points. */
const COMPARE_NS = 500;

/*
 * The trees of pages by their contents. ksm_thread_mutex is held by all who are here, but for `stableNodeOf`: what a page's stable
 * node says of its mappings is safe under the page's lock.
 */

/** The stable node of a KSM folio; null for any other, and for one that is in no tree (folio_stable_node()). */
export function stableNodeOf({ m }: Kernel, folio: number): StableNode | null {
  return m.memmap.isKsm(folio) ? (m.ksm.nodes.get(m.memmap.ksmNode(folio)) ?? null) : null;
}

/** In which tree a page belongs. */
export function nidOf({ m }: Kernel, page: number): number {
  return m.ksm.mergeAcrossNodes ? 0 : m.nodes.of(page);
}

/** How to come by a folio. */
export enum GetKsm {
  NoLock,
  Lock,
  TryLock,
}

/**
 * The folio of a stable node, with a reference at site "ksm": NO_PAGE where it is gone, and the node with it; -EBUSY where it is
 * locked and was only to be tried.
 */
export function* ksmGetFolio(k: Kernel, node: StableNode, how: GetKsm): MaySleep<number> {
  const { m } = k;
  for (;;) {
    const folio = node.page;
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if (k.ksmTree.stableNodeOf(k, folio) === node && (yield* k.swap.folioTryGet(k, folio, "ksm"))) {
      if (how === GetKsm.TryLock && !(yield* k.folioLock.folioTrylock(k, folio))) {
        yield* k.swap.folioPut(k, folio, "ksm");
        return -Errno.EBUSY;
      }
      if (how === GetKsm.Lock && !k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
      // It may have been freed, or have moved, before there was a reference.
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      if (k.ksmTree.stableNodeOf(k, folio) === node) return folio;
      if (how !== GetKsm.NoLock) yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "ksm");
    }
    if (node.page === folio) {
      yield* k.ksmTree.removeNodeFromStableTree(k, node);
      return NO_PAGE;
    }
    if (m.retries.again("ksm_get_folio")) yield SWITCH;
  }
}

/** A node whose page is gone, or nowhere mapped: those who mapped it are like any that were not merged. */
export function* removeNodeFromStableTree(k: Kernel, node: StableNode): Atomic<void> {
  const { ksm } = k.m;
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  for (const item of node.items) {
    item.node = null;
    item.anonVma = null;
    item.mm.ksmMergingPages--;
  }
  if (node.items.length > 0) {
    ksm.pagesShared--;
    ksm.pagesSharing -= node.items.length - 1;
  }
  node.items.length = 0;
  k.ksmTree.takeOutOfStableTree(k, node);
  ksm.nodes.delete(node.id);
}

/** A node is in no tree any more, nor in a chain. */
export function takeOutOfStableTree({ m }: Kernel, node: StableNode): void {
  const { ksm } = m;
  m.touches(Op.Ksm, 0);
  if (node.isAstray) ksm.astray.splice(ksm.astray.indexOf(node), 1);
  else if (node.chain !== null) {
    const { dups } = node.chain;
    dups.splice(dups.indexOf(node), 1);
    ksm.dups--;
  } else {
    const tree = ksm.stable[node.nid]!;
    tree.splice(tree.indexOf(node), 1);
  }
  node.isAstray = false;
  node.chain = null;
}

/** Takes an item out of whichever tree it is in. */
export function* removeRmapItemFromTree(k: Kernel, item: RmapItem): MaySleep<void> {
  const { m } = k;
  if (item.node !== null) {
    const folio = yield* k.ksmTree.ksmGetFolio(k, item.node, GetKsm.Lock);
    if (folio === NO_PAGE) return;
    k.ksmTree.dropRmapItem(k, item.node, item);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "ksm");
  } else if (item.scan !== NO_SCAN) {
    // The tree of a scan that is over is empty already.
    if (item.scan === m.ksm.scan) {
      const tree = m.ksm.unstable[item.nid]!;
      tree.splice(tree.indexOf(item), 1);
    }
    m.touches(Op.Ksm, 0);
    item.scan = NO_SCAN;
    m.ksm.pagesUnshared--;
  }
  yield* m.sched.condResched();
}

/** An item does not map the page of its node any more; under the page's lock. */
export function dropRmapItem({ m }: Kernel, node: StableNode, item: RmapItem): void {
  const { ksm } = m;
  m.touches(Op.Ksm, 0);
  node.items.splice(node.items.indexOf(item), 1);
  if (node.items.length > 0) ksm.pagesSharing--;
  else ksm.pagesShared--;
  item.node = null;
  item.anonVma = null;
  item.mm.ksmMergingPages--;
}

/** Which of two pages comes first: negative, 0 for the same contents, or positive. */
export function* comparePages(k: Kernel, a: number, b: number): Atomic<number> {
  const { m } = k;
  const left = k.deviceMemory.backingPage(k, a);
  const right = k.deviceMemory.backingPage(k, b);
  if (m.point(Op.FrameRead, left)) yield SWITCH;
  m.touches(Op.FrameRead, right);
  m.charge(COMPARE_NS);
  return m.ram.compare(left, right);
}

/* The stable tree. */

/** Whether one more may map the page of a node; `more`: besides so many that are about to. */
export function isPageSharingCandidate({ m: { ksm } }: Kernel, { items }: StableNode, more = 0): boolean {
  return items.length > 0 && items.length + more < ksm.maxPageSharing;
}

/** What a walk found of an entry of the tree: a node with its folio, which has a reference. */
interface Candidate {
  readonly node: StableNode;
  readonly folio: number;
  /** Its page must not be mapped more often. */
  readonly isFull: boolean;
}

/** The node of an entry to merge with, or any; null where the entry is gone by now, and the walk must begin again. */
export function* treeCandidate(k: Kernel, entry: StableEntry, prune: boolean): MaySleep<Candidate | null> {
  if (entry instanceof StableChain) return yield* k.ksmTree.stableNodeDup(k, entry, prune);
  const folio = yield* k.ksmTree.ksmGetFolio(k, entry, GetKsm.NoLock);
  return folio === NO_PAGE ? null : { node: entry, folio, isFull: !k.ksmTree.isPageSharingCandidate(k, entry) };
}

/**
 * The node of a chain to merge with: one that has room where there is one, and, where the time has come to look at all of them, the
 * one with the most mappings. Those that are met whose pages are gone are taken out. A chain of one node is none.
 */
export function* stableNodeDup(k: Kernel, chain: StableChain, mayPrune: boolean): MaySleep<Candidate | null> {
  const { m } = k;
  const { ksm } = m;
  const prune = mayPrune && m.now() >= chain.prunedAt + ksm.chainsPruneMs * NSEC_PER_MSEC;
  if (prune) chain.prunedAt = m.now();
  const hasRoom = (node: StableNode, more = 0): boolean => k.ksmTree.isPageSharingCandidate(k, node, more);
  let best: Candidate | null = null;
  for (const node of [...chain.dups]) {
    yield* m.sched.condResched();
    const folio = yield* k.ksmTree.ksmGetFolio(k, node, GetKsm.NoLock);
    if (folio === NO_PAGE) continue;
    if (best !== null && !(hasRoom(node) && (best.isFull || node.items.length > best.node.items.length))) {
      yield* k.swap.folioPut(k, folio, "ksm");
      continue;
    }
    if (best !== null) yield* k.swap.folioPut(k, best.folio, "ksm");
    best = { node, folio, isFull: !hasRoom(node) };
    if (!prune && !best.isFull) break;
  }
  m.touches(Op.Ksm, 0);
  const tree = ksm.stable[chain.nid]!;
  if (best === null) {
    tree.splice(tree.indexOf(chain), 1);
    ksm.chains--;
    return null;
  }
  const { node } = best;
  if (chain.dups.length === 1) {
    tree[tree.indexOf(chain)] = node;
    node.chain = null;
    node.nid = chain.nid;
    ksm.chains--;
    ksm.dups--;
  } else if (chain.dups[0] !== node && hasRoom(node, 1)) {
    // It is found at once next time.
    chain.dups.splice(chain.dups.indexOf(node), 1);
    chain.dups.unshift(node);
  }
  return best;
}

/** Where the contents of a page stand in a tree, or would: with the entry that has them, its folio referenced. */
interface Place {
  readonly index: number;
  readonly entry: StableEntry | null;
  readonly found: Candidate | null;
}

/** Looks for the contents of a page. */
export function* placeInStableTree(k: Kernel, nid: number, page: number, prune: boolean): MaySleep<Place> {
  const { m } = k;
  const tree = m.ksm.stable[nid]!;
  for (let lo = 0, hi = tree.length; ; ) {
    if (lo >= hi) return { index: lo, entry: null, found: null };
    yield* m.sched.condResched();
    const index = (lo + hi) >> 1;
    const entry = tree[index]!;
    const found = yield* k.ksmTree.treeCandidate(k, entry, prune);
    if (found === null) {
      // The tree is another by now.
      [lo, hi] = [0, tree.length];
      if (m.retries.again("stable_tree_search")) yield SWITCH;
      continue;
    }
    const order = yield* k.ksmTree.comparePages(k, page, found.folio);
    // A chain may have become its only node.
    if (order === 0) return { index, entry: tree[index]!, found };
    yield* k.swap.folioPut(k, found.folio, "ksm");
    if (order < 0) hi = index;
    else lo = index + 1;
  }
}

/**
 * A KSM folio with the contents of a page, referenced at site "ksm": the page's own where it is one. NO_PAGE for none that could be
 * mapped once more, -EBUSY for one that is locked.
 */
export function* stableTreeSearch(k: Kernel, page: number): MaySleep<number> {
  const { m } = k;
  const { ksm } = m;
  const own = k.ksmTree.stableNodeOf(k, page);
  if (own !== null && !own.isAstray) {
    yield* k.swap.folioGet(k, page, "ksm");
    return page;
  }
  const nid = k.ksmTree.nidOf(k, page);
  for (;;) {
    const { index, entry, found } = yield* k.ksmTree.placeInStableTree(k, nid, page, true);
    if (found === null || entry === null) {
      if (own === null) return NO_PAGE;
      // Its page has moved to this node, whose tree has nothing like it.
      k.ksmTree.takeOutOfStableTree(k, own);
      own.nid = nid;
      ksm.stable[nid]!.splice(index, 0, own);
      return yield* takeOwn(k, own);
    }
    yield* k.swap.folioPut(k, found.folio, "ksm");
    if (own !== null) {
      if (m.point(Op.MapCount, page)) yield SWITCH;
      if (m.memmap.folioMapcount(page) > 1) {
        k.ksmTree.takeOutOfStableTree(k, own);
        k.ksmTree.stableNodeChainAddDup(k, own, k.ksmTree.allocStableNodeChain(k, entry, nid), nid);
        return yield* takeOwn(k, own);
      }
    }
    if (k.ksmTree.nidOf(k, found.node.page) !== nid) {
      k.ksmTree.goAstray(k, found.node);
      if (own === null) return NO_PAGE;
      continue;
    }
    if (found.isFull || m.memmap.isDevicePrivate(found.folio)) return NO_PAGE;
    // So that who moves the page just now finds the reference.
    const folio = yield* k.ksmTree.ksmGetFolio(k, found.node, GetKsm.TryLock);
    if (folio === -Errno.EBUSY) return folio;
    if (folio !== NO_PAGE) {
      yield* k.folioLock.folioUnlock(k, folio);
      return folio;
    }
    if (m.retries.again("stable_tree_search")) yield SWITCH;
  }
}

/** A page's own node is in the tree again: its folio, referenced, or NO_PAGE where it is mapped as often as it may be. */
function* takeOwn(k: Kernel, node: StableNode): Atomic<number> {
  if (!k.ksmTree.isPageSharingCandidate(k, node)) return NO_PAGE;
  yield* k.swap.folioGet(k, node.page, "ksm");
  return node.page;
}

/** The page of a node has come to another NUMA node, whose tree it will be in when ksmd comes to it. */
export function goAstray(k: Kernel, node: StableNode): void {
  k.ksmTree.takeOutOfStableTree(k, node);
  node.isAstray = true;
  k.m.ksm.astray.push(node);
}

/** The chain that an entry is; a single node becomes the first of one. */
export function allocStableNodeChain({ m }: Kernel, entry: StableEntry, nid: number): StableChain {
  if (entry instanceof StableChain) return entry;
  const { ksm } = m;
  m.touches(Op.Ksm, 0);
  const chain = new StableChain(nid, m.now());
  const tree = ksm.stable[nid]!;
  tree[tree.indexOf(entry)] = chain;
  chain.dups.push(entry);
  entry.chain = chain;
  ksm.chains++;
  ksm.dups++;
  return chain;
}

export function stableNodeChainAddDup({ m }: Kernel, node: StableNode, chain: StableChain, nid: number): void {
  const { ksm } = m;
  m.touches(Op.Ksm, 0);
  node.chain = chain;
  node.nid = nid;
  chain.dups.unshift(node);
  ksm.dups++;
}

/** A new node for a KSM folio, which is locked. */
export function* stableTreeInsert(k: Kernel, folio: number): MaySleep<StableNode> {
  const { m } = k;
  const { ksm } = m;
  const nid = k.ksmTree.nidOf(k, folio);
  const { index, entry, found } = yield* k.ksmTree.placeInStableTree(k, nid, folio, false);
  if (found !== null) yield* k.swap.folioPut(k, found.folio, "ksm");
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.touches(Op.Ksm, 0);
  const node = new StableNode(ksm.nextNodeId++, folio, nid);
  if (entry === null) ksm.stable[nid]!.splice(index, 0, node);
  else k.ksmTree.stableNodeChainAddDup(k, node, k.ksmTree.allocStableNodeChain(k, entry, nid), nid);
  ksm.nodes.set(node.id, node);
  m.memmap.setKsm(folio, node.id);
  return node;
}

/** An item maps the page of a node; under the page's lock. */
export function stableTreeAppend({ m }: Kernel, item: RmapItem, node: StableNode): void {
  const { ksm } = m;
  m.touches(Op.Ksm, 0);
  if (node.items.length > 0) ksm.pagesSharing++;
  else ksm.pagesShared++;
  node.items.unshift(item);
  item.node = node;
  item.mm.ksmMergingPages++;
}

/** Nodes whose pages are nowhere mapped: -EBUSY, and it stays, for one whose page is. */
export function* removeStableNode(k: Kernel, node: StableNode): MaySleep<number> {
  const { m } = k;
  const folio = yield* k.ksmTree.ksmGetFolio(k, node, GetKsm.Lock);
  if (folio === NO_PAGE) return 0;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  const mapped = m.memmap.folioMapcount(folio) > 0;
  if (!mapped) {
    m.touches(Op.PageFlags, folio);
    m.memmap.setKsm(folio, 0);
    yield* k.ksmTree.removeNodeFromStableTree(k, node);
  }
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "ksm");
  return mapped ? -Errno.EBUSY : 0;
}

/** All of them, and chains of none; 0, or -EBUSY where some stay. */
export function* removeAllStableNodes(k: Kernel): MaySleep<number> {
  const { ksm } = k.m;
  let error = 0;
  for (const tree of ksm.stable) {
    for (const entry of [...tree]) {
      const nodes = entry instanceof StableChain ? [...entry.dups] : [entry];
      for (const node of nodes) if ((yield* k.ksmTree.removeStableNode(k, node)) !== 0) error = -Errno.EBUSY;
      if (entry instanceof StableChain && entry.dups.length === 0) {
        k.m.touches(Op.Ksm, 0);
        tree.splice(tree.indexOf(entry), 1);
        ksm.chains--;
      }
    }
  }
  for (const node of [...ksm.astray]) if ((yield* k.ksmTree.removeStableNode(k, node)) !== 0) error = -Errno.EBUSY;
  return error;
}

/* The unstable tree. */

/** An item of the unstable tree whose page has the contents of another. */
export interface UnstableMatch {
  readonly item: RmapItem;
  /** Referenced, its folio at site "ksm". */
  readonly page: number;
}

/** Looks for the contents of a page among those that are not write-protected; where there is none, the page is one of them now. */
export function* unstableTreeSearchInsert(k: Kernel, item: RmapItem, page: number): MaySleep<UnstableMatch | null> {
  const { m } = k;
  const { ksm } = m;
  const nid = k.ksmTree.nidOf(k, page);
  const tree = ksm.unstable[nid]!;
  let lo = 0;
  let hi = tree.length;
  while (lo < hi) {
    yield* m.sched.condResched();
    const index = (lo + hi) >> 1;
    const other = tree[index]!;
    const theirs = yield* k.ksmd.getMergeablePage(k, other);
    if (theirs === NO_PAGE) return null;
    // A page that a child has as well is not merged with itself.
    const order = page === theirs ? 0 : yield* k.ksmTree.comparePages(k, page, theirs);
    if (order === 0 && page !== theirs && (ksm.mergeAcrossNodes || m.nodes.of(theirs) === nid)) return { item: other, page: theirs };
    yield* k.swap.folioPut(k, m.memmap.folioOf(theirs), "ksm");
    if (order === 0) return null;
    if (order < 0) hi = index;
    else lo = index + 1;
  }
  m.touches(Op.Ksm, 0);
  item.scan = ksm.scan;
  item.nid = nid;
  tree.splice(lo, 0, item);
  ksm.pagesUnshared++;
  return null;
}
