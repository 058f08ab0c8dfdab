import { Cap, capable, Errno, PAGE_SIZE, PTE, ptraceMayAccess, USER_VPN_END, type MaySleep, type Mm } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** MPOL_*. */
enum Mpol {
  DEFAULT,
  PREFERRED,
  BIND,
  INTERLEAVE,
  LOCAL,
  PREFERRED_MANY,
  WEIGHTED_INTERLEAVE,
}
const MPOL_F_STATIC_NODES = 1 << 15;
const MPOL_F_RELATIVE_NODES = 1 << 14;
const MPOL_F_NUMA_BALANCING = 1 << 13;
const MODE_FLAGS = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;

enum MpolMf {
  STRICT = 1,
  MOVE = 2,
  MOVE_ALL = 4,
}
enum MpolF {
  NODE = 1,
  ADDR = 2,
  MEMS_ALLOWED = 4,
}
/** Bits that a mask of nodes may have, and that it has in the machine. */
const MASK_BITS_MAX = PAGE_SIZE * 8;
const NODES_POSSIBLE = 1024;

/** Whether a mask has the one node that there is; -EINVAL where it has others. */
function* readNodes(t: GuestThread, address: number, maxNode: number): MaySleep<boolean | number> {
  const bits = maxNode - 1;
  if (address === 0 || bits <= 0) return false;
  if (bits > MASK_BITS_MAX) return -Errno.EINVAL;
  const view = yield* readStruct(t.k, address, Math.ceil(bits / 64) * 8);
  if (view === null) return -Errno.EFAULT;
  let first = false;
  for (let bit = 0; bit < bits; bit++) {
    if ((view.getUint8(bit >> 3) & (1 << (bit & 7))) === 0) continue;
    if (bit >= NODES_POSSIBLE) return -Errno.EINVAL;
    if (bit === 0) first = true;
  }
  return first;
}

/** What a mode and a mask make together: 0, or -EINVAL. Nodes that are not there do not count. */
function* checkPolicy(t: GuestThread, mode: number, mask: number, maxNode: number): MaySleep<number> {
  const kind = mode & ~MODE_FLAGS;
  const flags = mode & MODE_FLAGS;
  if (kind < 0 || kind > (Mpol.WEIGHTED_INTERLEAVE as number)) return -Errno.EINVAL;
  if ((flags & MPOL_F_STATIC_NODES) !== 0 && (flags & MPOL_F_RELATIVE_NODES) !== 0) return -Errno.EINVAL;
  if ((flags & MPOL_F_NUMA_BALANCING) !== 0 && kind !== (Mpol.BIND as number) && kind !== (Mpol.PREFERRED_MANY as number)) return -Errno.EINVAL;
  const nodes = yield* readNodes(t, mask, maxNode);
  if (typeof nodes === "number") return nodes;
  if (kind === (Mpol.DEFAULT as number)) return nodes || flags !== 0 ? -Errno.EINVAL : 0;
  if (kind === (Mpol.LOCAL as number)) return nodes || flags !== 0 ? -Errno.EINVAL : 0;
  if (kind === (Mpol.PREFERRED as number)) return !nodes && flags !== 0 ? -Errno.EINVAL : 0;
  return nodes ? 0 : -Errno.EINVAL;
}

/** mbind(2): with one node there is nothing to choose; what is asked for is checked. */
const mbind: Handler = function* (t, [start, length, mode, mask, maxNode, flags]) {
  const { k } = t;
  const how = int(flags!);
  if ((how & ~(MpolMf.STRICT | MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0) return -Errno.EINVAL;
  if ((how & MpolMf.MOVE_ALL) !== 0 && !capable(k, Cap.SYS_NICE)) return -Errno.EPERM;
  const wrong = yield* checkPolicy(t, int(mode!), mask!, maxNode!);
  if (wrong < 0) return wrong;
  if (start! % PAGE_SIZE !== 0) return -Errno.EINVAL;
  const from = start! / PAGE_SIZE;
  const to = from + Math.ceil(length! / PAGE_SIZE);
  if (length! < 0 || to < from) return -Errno.EINVAL;
  if (to === from) return 0;
  const mm = t.task.mm!;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let vpn = from;
  for (; vpn >= 0 && vpn < Math.min(to, USER_VPN_END); ) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) break;
    vpn = vma.endVpn;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return vpn < to ? -Errno.EFAULT : 0;
};

const set_mempolicy: Handler = function* (t, [mode, mask, maxNode]) {
  const wrong = yield* checkPolicy(t, int(mode!), mask!, maxNode!);
  if (wrong < 0) return wrong;
  t.task.thread.mempolicy = int(mode!);
  return 0;
};

const get_mempolicy: Handler = function* (t, [policy, mask, maxNode, address, flags]) {
  const { k } = t;
  const what = int(flags!);
  if ((what & ~(MpolF.NODE | MpolF.ADDR | MpolF.MEMS_ALLOWED)) !== 0) return -Errno.EINVAL;
  if (mask !== 0 && maxNode! < 1) return -Errno.EINVAL;
  let answer = t.task.thread.mempolicy;
  if ((what & MpolF.MEMS_ALLOWED) !== 0) {
    if ((what & (MpolF.NODE | MpolF.ADDR)) !== 0) return -Errno.EINVAL;
    answer = 0;
  } else if ((what & MpolF.ADDR) !== 0) {
    if (t.task.mm!.vmaAt(Math.floor(address! / PAGE_SIZE)) === null) return -Errno.EFAULT;
    // The node of a page that is there, or is brought in for it.
    if ((what & MpolF.NODE) !== 0 && (yield* k.uaccess.getUser64(k, Math.floor(address! / 8) * 8)) === null) return -Errno.EFAULT;
    answer = 0;
  } else if (address !== 0) return -Errno.EINVAL;
  else if ((what & MpolF.NODE) !== 0) {
    // The next node of an interleaving policy.
    const kind = answer & ~MODE_FLAGS;
    if (kind !== (Mpol.INTERLEAVE as number) && kind !== (Mpol.WEIGHTED_INTERLEAVE as number)) return -Errno.EINVAL;
    answer = 0;
  }
  if (policy !== 0 && (yield* k.uaccess.putUser32(k, policy!, answer)) < 0) return -Errno.EFAULT;
  if (mask === 0) return 0;
  const kind = t.task.thread.mempolicy & ~MODE_FLAGS;
  const named = (what & MpolF.MEMS_ALLOWED) !== 0 || ((what & MpolF.ADDR) === 0 && kind !== (Mpol.DEFAULT as number) && kind !== (Mpol.LOCAL as number));
  const bytes = new Uint8Array(Math.ceil(Math.min(maxNode! - 1, MASK_BITS_MAX) / 64) * 8);
  bytes[0] = named ? 1 : 0;
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

/** The node of a page; -EFAULT where nothing is mapped, or zeros are, -ENOENT where there is no page. mmap_lock is held. */
function* nodeOfPage(t: GuestThread, mm: Mm, vpn: number): MaySleep<number> {
  const { k } = t;
  const vma = vpn < 0 || vpn >= USER_VPN_END ? null : mm.vmaAt(vpn);
  if (vma === null) return -Errno.EFAULT;
  const found = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: true });
  if (found === null) return -Errno.ENOENT;
  const zeros = (found.flags & PTE.SPECIAL) !== 0 || found.folio === k.m.zones.zeroPage;
  yield* k.folioWalk.folioWalkEnd(k, found);
  return zeros ? -Errno.EFAULT : 0;
}

/** move_pages(2): says where pages are. All are where they can be. */
const move_pages: Handler = function* (t, [pid, count, pages, nodes, status, flags]) {
  const { k } = t;
  const how = int(flags!);
  if ((how & ~(MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0) return -Errno.EINVAL;
  if ((how & MpolMf.MOVE_ALL) !== 0 && !capable(k, Cap.SYS_NICE)) return -Errno.EPERM;
  const mm = yield* mmOf(t, pid!);
  if (typeof mm === "number") return mm;
  let result = 0;
  for (let i = 0; i < count! && result === 0; i++) {
    const page = yield* k.uaccess.getUser64(k, pages! + 8 * i);
    const node = nodes === 0 ? 0 : yield* k.uaccess.getUser32(k, nodes! + 4 * i);
    if (page === null || node === null) result = -Errno.EFAULT;
    else if (node !== 0) result = -Errno.ENODEV;
    else {
      if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
      const where = yield* nodeOfPage(t, mm, Number(page >> 12n));
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      result = yield* k.uaccess.putUser32(k, status! + 4 * i, where);
    }
  }
  yield* k.fork.mmput(k, mm);
  return result;
};

/** migrate_pages(2): with one node, there is nowhere to go. */
const migrate_pages: Handler = function* (t, [pid, maxNode, from, to]) {
  const old = yield* readNodes(t, from!, maxNode!);
  if (typeof old === "number") return old;
  const next = yield* readNodes(t, to!, maxNode!);
  if (typeof next === "number") return next;
  const mm = yield* mmOf(t, pid!);
  if (typeof mm === "number") return mm;
  yield* t.k.fork.mmput(t.k, mm);
  return next ? 0 : -Errno.EINVAL;
};

const MODES = F.oneOf({ 0: "MPOL_DEFAULT", 1: "MPOL_PREFERRED", 2: "MPOL_BIND", 3: "MPOL_INTERLEAVE", 4: "MPOL_LOCAL", 5: "MPOL_PREFERRED_MANY", 6: "MPOL_WEIGHTED_INTERLEAVE" });

export const NUMA: readonly (readonly [number, Syscall])[] = [
  [235, call("mbind", [F.POINTER, F.SIZE, MODES, F.POINTER, F.SIZE, F.flags([[1, "MPOL_MF_STRICT"], [2, "MPOL_MF_MOVE"], [4, "MPOL_MF_MOVE_ALL"]])], mbind, "there is one node; the policy of memory is not kept")],
  [236, call("get_mempolicy", [F.OUT, F.OUT, F.SIZE, F.POINTER, F.flags([[1, "MPOL_F_NODE"], [2, "MPOL_F_ADDR"], [4, "MPOL_F_MEMS_ALLOWED"]])], get_mempolicy, "there is one node")],
  [238, call("migrate_pages", [F.INT, F.SIZE, F.POINTER, F.POINTER], migrate_pages, "there is one node")],
  [239, call("move_pages", [F.INT, F.SIZE, F.POINTER, F.POINTER, F.OUT, F.flags([[2, "MPOL_MF_MOVE"], [4, "MPOL_MF_MOVE_ALL"]])], move_pages, "there is one node")],
  [237, call("set_mempolicy", [MODES, F.POINTER, F.SIZE], set_mempolicy, "there is one node")],
];
