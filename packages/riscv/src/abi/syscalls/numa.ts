import {
  Cap,
  capable,
  Errno,
  Mpol,
  MPOL_MODE_FLAGS,
  MpolMf,
  PAGE_SIZE,
  ptraceMayAccess,
  type MaySleep,
  type Mempolicy,
  type Mm,
} from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

enum MpolF {
  NODE = 1,
  ADDR = 2,
  MEMS_ALLOWED = 4,
}
/** Bits that a mask of nodes may have, and that Linux could have at most. */
const MASK_BITS_MAX = PAGE_SIZE * 8;
const NODES_POSSIBLE = 1024;
/** Higher ones are of no node here: one bit stands for all of them. */
const OTHERS = 1 << 30;

/** The nodes of a mask, or a negated errno. */
function* readNodes(t: GuestThread, address: number, maxNode: number): MaySleep<number> {
  const bits = maxNode - 1;
  if (address === 0 || bits <= 0) return 0;
  if (bits > MASK_BITS_MAX) return -Errno.EINVAL;
  const view = yield* readStruct(t.k, address, Math.ceil(bits / 64) * 8);
  if (view === null) return -Errno.EFAULT;
  let nodes = 0;
  for (let bit = 0; bit < bits; bit++) {
    if ((view.getUint8(bit >> 3) & (1 << (bit & 7))) === 0) continue;
    if (bit >= NODES_POSSIBLE) return -Errno.EINVAL;
    nodes |= bit < 30 ? 1 << bit : OTHERS;
  }
  return nodes;
}

/** What a mode and a mask make together, or a negated errno. */
function* readPolicy(t: GuestThread, mode: number, mask: number, maxNode: number): MaySleep<Mempolicy | null | number> {
  const kind = mode & ~MPOL_MODE_FLAGS;
  if (kind < 0 || kind > (Mpol.WEIGHTED_INTERLEAVE as number)) return -Errno.EINVAL;
  const how = t.k.mempolicy.modeFlagsError(t.k, mode);
  if (how !== 0) return how;
  const nodes = yield* readNodes(t, mask, maxNode);
  return nodes < 0 ? nodes : t.k.mempolicy.newPolicy(t.k, mode, nodes);
}

/** The pages of a range, or a negated errno; as mbind() checks its arguments. */
function pageRange(start: number, length: number): { from: number; to: number } | number {
  if (start % PAGE_SIZE !== 0) return -Errno.EINVAL;
  const from = start / PAGE_SIZE;
  const to = from + Math.ceil(length / PAGE_SIZE);
  return length < 0 || to < from ? -Errno.EINVAL : { from, to };
}

const mbind: Handler = function* (t, [start, length, mode, mask, maxNode, flags]) {
  const { k } = t;
  const how = int(flags!);
  if ((how & ~(MpolMf.STRICT | MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0) return -Errno.EINVAL;
  if ((how & MpolMf.MOVE_ALL) !== 0 && !capable(k, Cap.SYS_NICE)) return -Errno.EPERM;
  const policy = yield* readPolicy(t, int(mode!), mask!, maxNode!);
  if (typeof policy === "number") return policy;
  const range = pageRange(start!, length!);
  if (typeof range === "number") return range;
  if (range.to === range.from) return 0;
  if (range.from < 0) return -Errno.EFAULT;
  return yield* k.mbind.doMbind(k, t.task.mm!, range.from, range.to, policy, how);
};

const set_mempolicy_home_node: Handler = function* (t, [start, length, node, flags]) {
  const { k } = t;
  if (start! % PAGE_SIZE !== 0 || flags !== 0 || node! < 0 || node! >= k.m.nodes.count) return -Errno.EINVAL;
  const range = pageRange(start!, length!);
  if (typeof range === "number") return range;
  if (range.to === range.from) return 0;
  return yield* k.mbind.setHomeNode(k, t.task.mm!, range.from, range.to, node!);
};

const set_mempolicy: Handler = function* (t, [mode, mask, maxNode]) {
  const policy = yield* readPolicy(t, int(mode!), mask!, maxNode!);
  if (typeof policy === "number") return policy;
  t.task.thread.mempolicy = policy;
  t.task.thread.interleaveIndex = 0;
  return 0;
};

const get_mempolicy: Handler = function* (t, [address, mask, maxNode, where, flags]) {
  const { k } = t;
  const what = int(flags!);
  if ((what & ~(MpolF.NODE | MpolF.ADDR | MpolF.MEMS_ALLOWED)) !== 0) return -Errno.EINVAL;
  if (mask !== 0 && maxNode! < k.m.nodes.count) return -Errno.EINVAL;
  let policy = t.task.thread.mempolicy;
  let answer = -1;
  let nodes = -1;
  if ((what & MpolF.MEMS_ALLOWED) !== 0) {
    if ((what & (MpolF.NODE | MpolF.ADDR)) !== 0) return -Errno.EINVAL;
    answer = 0;
    nodes = k.m.nodes.mask;
  } else if ((what & MpolF.ADDR) !== 0) {
    const mm = t.task.mm!;
    const vpn = Math.floor(where! / PAGE_SIZE);
    const vma = mm.vmaAt(vpn);
    if (vma === null) return -Errno.EFAULT;
    policy = k.mempolicy.ownPolicy(k, vma, vpn);
    if ((what & MpolF.NODE) !== 0) {
      // The node of a page that is there, or is brought in for it.
      if ((yield* k.uaccess.getUser64(k, Math.floor(where! / 8) * 8)) === null) return -Errno.EFAULT;
      const node = yield* k.mbind.nodeOfPage(k, mm, vpn);
      // The page of zeros is the first node's.
      answer = Math.max(0, node);
    }
  } else if (where !== 0) return -Errno.EINVAL;
  else if ((what & MpolF.NODE) !== 0) {
    // The next node of a policy that takes turns.
    if (policy === null || (policy.mode !== Mpol.INTERLEAVE && policy.mode !== Mpol.WEIGHTED_INTERLEAVE)) return -Errno.EINVAL;
    answer = k.mempolicy.interleaveNode(k, policy, t.task.thread.interleaveIndex);
  }
  if (answer < 0) answer = policy === null ? Mpol.DEFAULT : policy.mode | policy.flags;
  if (address !== 0 && (yield* k.uaccess.putUser32(k, address!, answer)) < 0) return -Errno.EFAULT;
  if (mask === 0) return 0;
  if (nodes < 0) nodes = k.mempolicy.shownNodes(k, policy);
  const bytes = new Uint8Array(Math.ceil(Math.min(maxNode! - 1, MASK_BITS_MAX) / 64) * 8);
  for (let i = 0; i < 4 && i < bytes.length; i++) bytes[i] = nodes >> (8 * i);
  return yield* k.uaccess.copyToUser(k, mask!, bytes);
};

/** Whose memory a call is about, a process of that id or (0) the caller's own; it is kept. A negated errno. */
function* mmOf(t: GuestThread, pid: number): MaySleep<Mm | number> {
  const { k } = t;
  const task = int(pid) === 0 ? t.task : k.m.tasks.get(int(pid));
  if (task === undefined || task.process === null) return -Errno.ESRCH;
  if (!ptraceMayAccess(k, task.process, "real")) return -Errno.EPERM;
  if (task.mm === null || !(yield* k.fork.mmgetNotZero(k, task.mm))) return -Errno.EINVAL;
  return task.mm;
}

/** move_pages(2): says where pages are, or moves them there: how many have not moved. */
const move_pages: Handler = function* (t, [pid, count, pages, nodes, status, flags]) {
  const { k } = t;
  const how = int(flags!);
  if ((how & ~(MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0) return -Errno.EINVAL;
  if ((how & MpolMf.MOVE_ALL) !== 0 && !capable(k, Cap.SYS_NICE)) return -Errno.EPERM;
  const mm = yield* mmOf(t, pid!);
  if (typeof mm === "number") return mm;
  const result = nodes === 0 ? yield* tellPages(t, mm, count!, pages!, status!) : yield* movePages(t, mm, { count: count!, pages: pages!, nodes: nodes!, status: status!, flags: how });
  yield* k.fork.mmput(k, mm);
  return result;
};

function* tellPages(t: GuestThread, mm: Mm, count: number, pages: number, status: number): MaySleep<number> {
  const { k } = t;
  for (let i = 0; i < count; i++) {
    const page = yield* k.uaccess.getUser64(k, pages + 8 * i);
    if (page === null) return -Errno.EFAULT;
    const where = yield* k.mbind.nodeOfPage(k, mm, Number(page >> 12n));
    if ((yield* k.uaccess.putUser32(k, status + 4 * i, where)) < 0) return -Errno.EFAULT;
  }
  return 0;
}

interface Moves {
  readonly count: number;
  readonly pages: number;
  readonly nodes: number;
  readonly status: number;
  readonly flags: number;
}

/** Pages in a row for one node move together: 0, a negated errno, or how many have not moved, those that were not tried among them. */
function* movePages(t: GuestThread, mm: Mm, { count, pages, nodes, status, flags }: Moves): MaySleep<number> {
  const { k } = t;
  let folios: number[] = [];
  let target = -1;
  let start = 0;
  const store = function* (from: number, to: number, value: number): MaySleep<number> {
    for (let i = from; i < to; i++) if ((yield* k.uaccess.putUser32(k, status + 4 * i, value)) < 0) return -Errno.EFAULT;
    return 0;
  };
  const flush = function* (end: number): MaySleep<number> {
    if (folios.length === 0) return 0;
    const failed = yield* k.mbind.moveFoliosToNode(k, folios, target);
    folios = [];
    if (failed !== 0) return failed > 0 ? failed + count - end : failed;
    return yield* store(start, end, target);
  };
  yield* k.swap.lruCacheDisable(k);
  let result = 0;
  let i = 0;
  for (; i < count && result === 0; i++) {
    const page = yield* k.uaccess.getUser64(k, pages + 8 * i);
    const node = yield* k.uaccess.getUser32(k, nodes + 4 * i);
    if (page === null || node === null) result = -Errno.EFAULT;
    else if (int(node) < 0 || int(node) >= k.m.nodes.count) result = -Errno.ENODEV;
    if (result !== 0) break;
    if (target !== int(node!)) {
      result = yield* flush(i);
      if (result !== 0) break;
      [target, start] = [int(node!), i];
    }
    const added = yield* k.mbind.addFolioForMigration(k, mm, Number(page! >> 12n), target, flags, folios);
    if (added > 0) continue;
    result = yield* store(i, i + 1, added === 0 ? target : added);
    if (result === 0) result = yield* flush(i);
    // This one has been told of.
    if (result > 0) result--;
    target = -1;
  }
  const rest = yield* flush(i);
  yield* k.swap.lruCacheEnable(k);
  return result < 0 ? result : result > 0 ? result : rest;
}

const migrate_pages: Handler = function* (t, [pid, maxNode, from, to]) {
  const { k } = t;
  const old = yield* readNodes(t, from!, maxNode!);
  if (old < 0) return old;
  const next = yield* readNodes(t, to!, maxNode!);
  if (next < 0) return next;
  const mm = yield* mmOf(t, pid!);
  if (typeof mm === "number") return mm;
  const goal = next & k.m.nodes.mask;
  const all = capable(k, Cap.SYS_NICE) ? MpolMf.MOVE_ALL : MpolMf.MOVE;
  const result = goal === 0 ? -Errno.EINVAL : yield* k.mbind.doMigratePages(k, mm, old & ~OTHERS, goal, all);
  yield* k.fork.mmput(k, mm);
  return result;
};

const MODES = F.oneOf({ 0: "MPOL_DEFAULT", 1: "MPOL_PREFERRED", 2: "MPOL_BIND", 3: "MPOL_INTERLEAVE", 4: "MPOL_LOCAL", 5: "MPOL_PREFERRED_MANY", 6: "MPOL_WEIGHTED_INTERLEAVE" });

export const NUMA: readonly (readonly [number, Syscall])[] = [
  [235, call("mbind", [F.POINTER, F.SIZE, MODES, F.POINTER, F.SIZE, F.flags([[1, "MPOL_MF_STRICT"], [2, "MPOL_MF_MOVE"], [4, "MPOL_MF_MOVE_ALL"]])], mbind)],
  [236, call("get_mempolicy", [F.OUT, F.OUT, F.SIZE, F.POINTER, F.flags([[1, "MPOL_F_NODE"], [2, "MPOL_F_ADDR"], [4, "MPOL_F_MEMS_ALLOWED"]])], get_mempolicy)],
  [237, call("set_mempolicy", [MODES, F.POINTER, F.SIZE], set_mempolicy)],
  [238, call("migrate_pages", [F.INT, F.SIZE, F.POINTER, F.POINTER], migrate_pages)],
  [239, call("move_pages", [F.INT, F.SIZE, F.POINTER, F.POINTER, F.OUT, F.flags([[2, "MPOL_MF_MOVE"], [4, "MPOL_MF_MOVE_ALL"]])], move_pages)],
  [450, call("set_mempolicy_home_node", [F.POINTER, F.SIZE, F.INT, F.HEX], set_mempolicy_home_node)],
];
