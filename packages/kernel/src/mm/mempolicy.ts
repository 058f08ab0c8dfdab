/**
 * @linux mm/mempolicy.c
 * @omits Cpusets: a policy's nodes are those that are online, and are never rebound.
 * @omits The mount option `mpol` of tmpfs.
 * @omits Weights that Linux computes by bandwidth: no firmware tells any, and weights are 1 until they are set.
 * @omits Bulk allocation by policy.
 * @omits Pages that come from swap go where the policy of the task says, not that of the mapping.
 * @own interleaveIndex, interleaveNode, modeFlagsError, newPolicy, nextInterleaveNode, nodeList, ownPolicy, policyNodes, policyText, samePolicy,
 *   shownNodes, taskNodes, thisNode, vmaNodes
 */
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Task } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { Vma } from "./mm_types.js";
import { NUMA_NO_NODE, Nodes } from "./nodes.js";
import { shmemInode } from "./shmem_inode.js";

/** MPOL_*, as the ABI has them (Documentation/admin-guide/mm/numa_memory_policy.rst). */
export enum Mpol {
  DEFAULT,
  PREFERRED,
  BIND,
  INTERLEAVE,
  LOCAL,
  PREFERRED_MANY,
  WEIGHTED_INTERLEAVE,
}

/** MPOL_F_*: how the nodes of a policy are meant. */
export enum MpolFlag {
  STATIC_NODES = 1 << 15,
  RELATIVE_NODES = 1 << 14,
  /** Balancing may move pages among the nodes. */
  NUMA_BALANCING = 1 << 13,
}

export const MPOL_MODE_FLAGS = MpolFlag.STATIC_NODES | MpolFlag.RELATIVE_NODES | MpolFlag.NUMA_BALANCING;

/** A policy that somebody has set; who has set none has null, and memory of the node that he runs on. Never changes. */
export interface Mempolicy {
  readonly mode: Exclude<Mpol, Mpol.DEFAULT>;
  /** MpolFlag bits. */
  readonly flags: number;
  /** A bit for each node that is there: what was given, or for RELATIVE_NODES what that comes to. */
  readonly nodes: number;
  /** The nodes as they were given. */
  readonly userNodes: number;
  /** Of BIND and PREFERRED_MANY: where to look first; NUMA_NO_NODE for the node that asks. */
  readonly homeNode: number;
}

/** Where an allocation is to come from. */
export interface AllocNodes {
  /** The node to look on first. */
  readonly node: number;
  /** The nodes that may be had; -1 for all. */
  readonly mask: number;
  /** Others than those of the mask will not do. */
  readonly strict: boolean;
  /** It was the node's turn. */
  readonly interleaved: boolean;
}

/** Memory of one node and of no other (__GFP_THISNODE). */
export function thisNode(node: number): AllocNodes {
  return { node, mask: 1 << node, strict: true, interleaved: false };
}

/**
 * A policy of a mode with its flags and the nodes given; null for the default, -EINVAL for what does not go together. Of
 * the nodes those count that there are.
 */
export function newPolicy(k: Kernel, modeAndFlags: number, given: number): Mempolicy | null | number {
  const mode = modeAndFlags & ~MPOL_MODE_FLAGS;
  const flags = modeAndFlags & MPOL_MODE_FLAGS;
  const how = MpolFlag.STATIC_NODES | MpolFlag.RELATIVE_NODES;
  const policy = (kind: Mempolicy["mode"], nodes: number): Mempolicy => ({ mode: kind, flags, nodes, userNodes: given, homeNode: NUMA_NO_NODE });
  if (mode === (Mpol.DEFAULT as number)) return given !== 0 ? -Errno.EINVAL : null;
  if (mode === (Mpol.LOCAL as number)) return given !== 0 || (flags & how) !== 0 ? -Errno.EINVAL : policy(Mpol.LOCAL, 0);
  if (given === 0) return mode === (Mpol.PREFERRED as number) && (flags & how) === 0 ? policy(Mpol.LOCAL, 0) : -Errno.EINVAL;
  const nodes = (flags & MpolFlag.RELATIVE_NODES) !== 0 ? folded(k, given) : given & k.m.nodes.mask;
  if (nodes === 0) return -Errno.EINVAL;
  return policy(mode, mode === (Mpol.PREFERRED as number) ? nodes & -nodes : nodes);
}

/** What a mode and its flags say together: 0 or -EINVAL. */
export function modeFlagsError(_k: Kernel, modeAndFlags: number): number {
  const mode = modeAndFlags & ~MPOL_MODE_FLAGS;
  const flags = modeAndFlags & MPOL_MODE_FLAGS;
  const how = MpolFlag.STATIC_NODES | MpolFlag.RELATIVE_NODES;
  if (mode < 0 || mode > (Mpol.WEIGHTED_INTERLEAVE as number) || (flags & how) === (how)) return -Errno.EINVAL;
  const balanced = mode === (Mpol.BIND as number) || mode === (Mpol.PREFERRED_MANY as number);
  return (flags & MpolFlag.NUMA_BALANCING) !== 0 && !balanced ? -Errno.EINVAL : 0;
}

/** The nodes that get_mempolicy() tells of a policy: those that were given, where it is they that count. */
export function shownNodes(_k: Kernel, policy: Mempolicy | null): number {
  if (policy === null) return 0;
  return (policy.flags & (MpolFlag.STATIC_NODES | MpolFlag.RELATIVE_NODES)) !== 0 ? policy.userNodes : policy.nodes;
}

/** Node n of a relative policy is the nth of those that there are, counted round and round. */
function folded(k: Kernel, given: number): number {
  let nodes = 0;
  for (const node of Nodes.in(given)) nodes |= 1 << (node % k.m.nodes.count);
  return nodes;
}

/** Whether two policies are one as far as VMAs are concerned. */
export function samePolicy(a: Mempolicy | null, b: Mempolicy | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  const stored = (a.flags & (MpolFlag.STATIC_NODES | MpolFlag.RELATIVE_NODES)) === 0 || a.userNodes === b.userNodes;
  return a.mode === b.mode && a.flags === b.flags && a.nodes === b.nodes && a.homeNode === b.homeNode && stored;
}

/** The policy that was set for a page of a VMA: the file's, where it maps one in memory, else its own; null for none. */
export function ownPolicy(k: Kernel, vma: Vma, vpn: number): Mempolicy | null {
  const inode = vma.ops?.isShmem === true ? shmemInode(vma.file) : null;
  if (inode === null) return vma.policy;
  k.m.touches(Op.Inode, inode.ino);
  return inode.policy.lookup(vma.linearIndex(vpn));
}

/** The policy for a page of a VMA: what was set for it, or that of the task. */
export function getVmaPolicy(k: Kernel, vma: Vma, vpn: number): Mempolicy | null {
  return k.mempolicy.ownPolicy(k, vma, vpn) ?? k.m.current!.thread.mempolicy;
}

/** Whether balancing may move what is in a VMA (vma_policy_mof()): not what was put in place, nor files in memory unless they were told so. */
export function vmaPolicyMof(k: Kernel, vma: Vma): boolean {
  const own = k.mempolicy.ownPolicy(k, vma, vma.startVpn);
  if (vma.ops?.isShmem === true) return own !== null && (own.flags & MpolFlag.NUMA_BALANCING) !== 0;
  const policy = own ?? k.m.current!.thread.mempolicy;
  return policy === null || (policy.flags & MpolFlag.NUMA_BALANCING) !== 0;
}

/** Where the memory for a page of a VMA, or for a folio of an order around it, is to come from; null where there is no choice. */
export function vmaNodes(k: Kernel, vma: Vma, vpn: number, order = 0): AllocNodes | null {
  if (k.m.nodes.count === 1) return null;
  const policy = k.mempolicy.getVmaPolicy(k, vma, vpn);
  return policy === null ? null : k.mempolicy.policyNodes(k, policy, k.mempolicy.interleaveIndex(k, vma, vpn, order));
}

/** Where in the turns of nodes a page is: files in memory begin at different ones. */
export function interleaveIndex(_k: Kernel, vma: Vma, vpn: number, order: number): number {
  const inode = vma.ops?.isShmem === true ? shmemInode(vma.file) : null;
  return (inode?.ino ?? 0) + (vma.linearIndex(vpn) >> order);
}

/** Where memory of the current task's that is no VMA's is to come from; null for the node that it runs on. */
export function taskNodes(k: Kernel): AllocNodes | null {
  const { m } = k;
  if (m.nodes.count === 1) return null;
  const policy = m.current?.thread.mempolicy ?? null;
  if (policy === null) return null;
  if (policy.mode !== Mpol.INTERLEAVE && policy.mode !== Mpol.WEIGHTED_INTERLEAVE) return k.mempolicy.policyNodes(k, policy, 0);
  return { node: k.mempolicy.nextInterleaveNode(k, m.current!, policy), mask: -1, strict: false, interleaved: true };
}

/** The nodes of the current task's policy, as a mask; -1 for all, where it has none (init_nodemask_of_mempolicy()). */
export function taskNodeMask(k: Kernel): number {
  const policy = k.m.current?.thread.mempolicy ?? null;
  if (policy === null) return -1;
  return policy.mode === Mpol.LOCAL ? 1 << k.m.nodes.ofCpu(k.m.cpu) : policy.nodes;
}

/** The node whose turn it is in a task's policy that takes turns; the next one is its turn then. */
export function nextInterleaveNode(k: Kernel, task: Task, policy: Mempolicy): number {
  const { thread } = task;
  const node = k.mempolicy.interleaveNode(k, policy, thread.interleaveIndex++);
  return node;
}

/** What a policy makes of an allocation; `index` says whose turn it is where nodes take turns. */
export function policyNodes(k: Kernel, policy: Mempolicy, index: number): AllocNodes {
  const { m } = k;
  const here = m.nodes.ofCpu(m.cpu);
  const { nodes } = policy;
  switch (policy.mode) {
    case Mpol.LOCAL:
      return { node: here, mask: -1, strict: false, interleaved: false };
    case Mpol.PREFERRED:
      return { node: Nodes.in(nodes)[0]!, mask: -1, strict: false, interleaved: false };
    case Mpol.BIND:
    case Mpol.PREFERRED_MANY: {
      const node = policy.homeNode === NUMA_NO_NODE ? here : policy.homeNode;
      return { node, mask: nodes, strict: policy.mode === Mpol.BIND, interleaved: false };
    }
    case Mpol.INTERLEAVE:
    case Mpol.WEIGHTED_INTERLEAVE:
      return { node: k.mempolicy.interleaveNode(k, policy, index), mask: -1, strict: false, interleaved: true };
  }
}

/** Whose turn the page with an index is: each node once in a round, or as often as its weight says. */
export function interleaveNode(k: Kernel, policy: Mempolicy, index: number): number {
  const turns = Nodes.in(policy.nodes);
  if (policy.mode !== Mpol.WEIGHTED_INTERLEAVE) return turns[index % turns.length]!;
  const { weights } = k.m.numa;
  let turn = index % turns.reduce((sum, node) => sum + weights[node]!, 0);
  for (const node of turns) {
    if (turn < weights[node]!) return node;
    turn -= weights[node]!;
  }
  return turns[0]!;
}

/** As numa_maps and mount options spell a policy. */
export function policyText(policy: Mempolicy | null): string {
  if (policy === null) return "default";
  const names: Readonly<Record<Mempolicy["mode"], string>> = {
    [Mpol.PREFERRED]: "prefer",
    [Mpol.BIND]: "bind",
    [Mpol.INTERLEAVE]: "interleave",
    [Mpol.LOCAL]: "local",
    [Mpol.PREFERRED_MANY]: "prefer (many)",
    [Mpol.WEIGHTED_INTERLEAVE]: "weighted interleave",
  };
  let text = names[policy.mode];
  if ((policy.flags & MPOL_MODE_FLAGS) !== 0) {
    text += "=";
    if ((policy.flags & MpolFlag.STATIC_NODES) !== 0) text += "static";
    else if ((policy.flags & MpolFlag.RELATIVE_NODES) !== 0) text += "relative";
    if ((policy.flags & MpolFlag.NUMA_BALANCING) !== 0) text += `${text.endsWith("=") ? "" : "|"}balancing`;
  }
  return policy.nodes === 0 ? text : `${text}:${nodeList(policy.nodes)}`;
}

/** A mask of nodes as the kernel prints lists: 0-1,3. */
export function nodeList(mask: number): string {
  const parts: string[] = [];
  const nodes = Nodes.in(mask);
  for (let i = 0; i < nodes.length; ) {
    let last = i;
    while (nodes[last + 1] === nodes[last]! + 1) last++;
    parts.push(last === i ? String(nodes[i]) : `${nodes[i]}-${nodes[last]}`);
    i = last + 1;
  }
  return parts.join(",");
}
