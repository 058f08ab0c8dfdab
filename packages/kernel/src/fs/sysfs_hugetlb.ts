import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import type { Hstate } from "../mm/hstate.js";
import { NUMA_NO_NODE } from "../mm/nodes.js";
import { memparse, parseUnsigned, TextFile, type PseudoDir, type PseudoFs, type Store } from "./pseudo.js";
import { SYSFS_FILE_SIZE } from "./sysfs_file.js";

/** A count as Linux prints it: one that has been taken from too often is a large one. */
export function unsignedText(n: number): string {
  return n < 0 ? String((1n << 64n) + BigInt(n)) : String(n);
}

/**
 * A directory for each size of huge pages: /sys/kernel/mm/hugepages, and that of a node, which has
 * fewer files.
 */
export function addHugepages(fs: PseudoFs, m: Machine, dir: PseudoDir, ofNode: number | null): void {
  for (const h of m.hugetlb.hstates) addHstate(fs, h, dir.dir(h.name), ofNode);
}

function addHstate(fs: PseudoFs, h: Hstate, dir: PseudoDir, ofNode: number | null): void {
  const add = (name: string, show: ((k: Kernel) => number | string) | null, store: Store | null): void => {
    dir.add(
      name,
      new TextFile(fs, {
        mode: show === null ? 0o200 : store === null ? 0o444 : 0o644,
        strict: true,
        size: SYSFS_FILE_SIZE,
        ...(show === null
          ? {}
          : {
              *show(k: Kernel) {
                if (k.m.point(Op.GuardedRead, k.m.hugetlb.lock.id)) yield SWITCH;
                const value = show(k);
                return `${typeof value === "number" ? unsignedText(value) : value}\n`;
              },
            }),
        ...(store === null ? {} : { store }),
      }),
    );
  };
  const of = (): Pick<Hstate, "nrHugePages" | "freeHugePages" | "surplusHugePages"> => (ofNode === null ? h : h.ofNode(ofNode));
  const setCount = (mask: (k: Kernel) => number): Store => function* (k, text) {
    const count = parseUnsigned(text);
    if (count === null) return -Errno.EINVAL;
    yield* k.hugetlbPool.setMaxHugePages(k, h, count, mask(k), ofNode ?? NUMA_NO_NODE);
    return 0;
  };
  add("nr_hugepages", () => of().nrHugePages, setCount(() => -1));
  add("free_hugepages", () => of().freeHugePages, null);
  add("surplus_hugepages", () => of().surplusHugePages, null);
  if (ofNode === null) {
    add("nr_hugepages_mempolicy", () => h.nrHugePages, setCount((k) => k.mempolicy.taskNodeMask(k)));
    add("resv_hugepages", () => h.resvHugePages, null);
    add("nr_overcommit_hugepages", () => h.nrOvercommitHugePages, function* (k, text) {
      // There is no making a gigantic page when one is wanted.
      if (h.isGigantic) return -Errno.EINVAL;
      const count = parseUnsigned(text);
      if (count === null) return -Errno.EINVAL;
      if (k.m.point(Op.GuardedRead, k.m.hugetlb.lock.id)) yield SWITCH;
      k.m.touches(Op.SpinLock, k.m.hugetlb.lock.id);
      h.nrOvercommitHugePages = count;
      return 0;
    });
  }
  if (h.demoteOrder === 0) return;
  add("demote", null, function* (k, text) {
    const count = parseUnsigned(text);
    if (count === null) return -Errno.EINVAL;
    yield* k.hugetlbPool.demote(k, h, count, ofNode === null ? -1 : 1 << ofNode);
    return 0;
  });
  add(
    "demote_size",
    () => `${4 << h.demoteOrder}kB`,
    function* (k, text) {
      if (k.m.point(Op.Stats, 0)) yield SWITCH;
      const bytes = memparse(text.trim())?.bytes;
      const other = [...k.m.hugetlb.hstates].find((target) => target.bytes === bytes);
      if (other === undefined || other.order >= h.order || other.order < 9) return -Errno.EINVAL;
      h.demoteOrder = other.order;
      return 0;
    },
  );
}
