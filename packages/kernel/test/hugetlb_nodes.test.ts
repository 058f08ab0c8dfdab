import { describe, expect, test } from "vitest";
import { MapFlag, Prot, type Kernel, type MaySleep, type Mm } from "../src/index.js";
import { Mpol } from "../src/mm/mempolicy.js";
import { makeKernel, runTask, type HarnessOptions } from "./harness.js";

const HUGE = 2 << 20;
const TWO: HarnessOptions = { nodes: 2, cpus: 2, frames: 16384 };
const FLAGS = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.HUGETLB;

/** Pages of the pool on each node, as /sys/devices/system/node/nodeN/hugepages has them: nr, free, surplus. */
function byNode(k: Kernel): number[][] {
  const { defaultHstate: h } = k.m.hugetlb;
  return [0, 1].map((node) => {
    const { nrHugePages, freeHugePages, surplusHugePages } = h.ofNode(node);
    return [nrHugePages, freeHugePages, surplusHugePages];
  });
}

function* touched(k: Kernel, mm: Mm, pages: number): MaySleep<number> {
  const addr = yield* k.mmap.doMmap(k, mm, 0, pages * HUGE, Prot.READ | Prot.WRITE, FLAGS, null, 0);
  for (let i = 0; i < pages; i++) yield* k.uaccess.putUser32(k, addr + i * HUGE, i + 1);
  return addr;
}

function nodeOf(k: Kernel, mm: Mm, addr: number): number {
  const { pt, memmap, nodes } = k.m;
  return nodes.of(memmap.pfnToPage(pt.pfnFor(pt.find(mm.pgd, addr / 4096), addr / 4096)));
}

describe("the pool of huge pages on two nodes", () => {
  test("takes from both in turn, and from one that is named", () => {
    const k = makeKernel(TWO);
    const { defaultHstate: h } = k.m.hugetlb;
    runTask(k, function* () {
      yield* k.hugetlbPool.setMaxHugePages(k, h, 4);
      expect(byNode(k)).toEqual([[2, 2, 0], [2, 2, 0]]);
      yield* k.hugetlbPool.setMaxHugePages(k, h, 5, -1, 1);
      expect(byNode(k)).toEqual([[2, 2, 0], [5, 5, 0]]);
      yield* k.hugetlbPool.setMaxHugePages(k, h, 0, -1, 0);
      expect(byNode(k)).toEqual([[0, 0, 0], [5, 5, 0]]);
      // What is there of a node that has not enough.
      yield* k.hugetlbPool.setMaxHugePages(k, h, 1000, -1, 0);
      expect(byNode(k)[1]).toEqual([5, 5, 0]);
      expect(h.nrHugePages).toBe(5 + h.ofNode(0).nrHugePages);
      expect(h.maxHugePages).toBe(h.nrHugePages);
    });
  });

  test("is asked on the node that the task runs on first, or where its policy says", () => {
    const k = makeKernel(TWO);
    runTask(k, function* (mm) {
      yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 4);
      const addr = yield* touched(k, mm, 1);
      expect(nodeOf(k, mm, addr)).toBe(k.m.nodes.ofCpu(k.m.cpu));
      k.m.current!.thread.mempolicy = { mode: Mpol.BIND, flags: 0, nodes: 2, userNodes: 2, homeNode: -1 };
      expect(nodeOf(k, mm, yield* touched(k, mm, 1))).toBe(1);
      // And one node alone is made larger, by nr_hugepages_mempolicy.
      yield* k.hugetlbPool.setMaxHugePages(k, k.m.hugetlb.defaultHstate, 7, k.mempolicy.taskNodeMask(k));
      expect(byNode(k)).toEqual([[2, 1, 0], [5, 4, 0]]);
      k.m.current!.thread.mempolicy = null;
    });
  });

  test("what is in use of a node that is to have none is surplus there, and goes from there", () => {
    const k = makeKernel(TWO);
    const { defaultHstate: h } = k.m.hugetlb;
    runTask(k, function* (mm) {
      yield* k.hugetlbPool.setMaxHugePages(k, h, 4);
      const addr = yield* touched(k, mm, 1);
      yield* k.hugetlbPool.setMaxHugePages(k, h, 0, -1, 0);
      expect(byNode(k)).toEqual([[1, 0, 1], [2, 2, 0]]);
      yield* k.mmap.doMunmap(k, mm, addr, HUGE);
      expect(byNode(k)).toEqual([[0, 0, 0], [2, 2, 0]]);
    });
  });
});
