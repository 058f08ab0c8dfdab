import { scenario, type ThreadApi } from "@faultline/checker";
import { FollFlag, Op, PTE, SWITCH, type Atomic } from "@faultline/kernel";

/** The entry of an address: whether it grants nothing, and the node of its page. */
function* entryOf(t: ThreadApi, addr: number): Atomic<{ waits: boolean; frame: number }> {
  const { m } = t.k;
  const entry = m.pt.find(t.mm.pgd, addr / 4096);
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  return { waits: (m.pt.flags(entry) & PTE.PROT_NONE) !== 0, frame: m.memmap.pfnToPage(m.pt.pfn(entry)) };
}

/**
 * Asked in "smaps / mm/gup: fix gup_can_follow_protnone fallout" (2023): does get_user_pages() make NUMA hinting faults? It takes
 * the page as it is, and leaves the entry waiting; who wants the fault to happen, as KVM does, says FOLL_HONOR_NUMA_FAULT, and
 * the page comes to his node. Whoever holds a page keeps it from moving when the fault comes at last.
 */
export default scenario({
  title: "does get_user_pages() make NUMA hinting faults?",
  machine: { cpus: 2, nodes: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page, 100);
    // On the other node.
    yield* t.homeOn(page + 4096, 1, 1);
    yield* t.store32(page + 4096, 100);
    yield* t.drainLruBatches();
    for (const at of [page, page + 4096]) yield* t.numaScan(at, 1);
    return { page, wrong: "" };
  },

  threads: {
    gup: {
      on: { cpu: 1 },
      *run(t, s) {
        const held = yield* t.getUserPage(s.page, false);
        if (!(yield* entryOf(t, s.page)).waits) s.wrong = "get_user_pages() for reading has made a hinting fault";
        yield* t.load32(s.page);
        const { waits, frame } = yield* entryOf(t, s.page);
        if (waits) s.wrong = "an access has made no hinting fault";
        if (frame !== held) s.wrong = "a page that somebody holds has moved";
        yield* t.putUserPage(held);
      },
    },
    kvm: {
      on: { cpu: 0 },
      *run(t, s) {
        const { k, mm } = t;
        const addr = s.page + 4096;
        if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
        const page = yield* k.gup.getUserPageRemote(k, mm, addr / 4096, FollFlag.HONOR_NUMA_FAULT, "scenario");
        if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
        if ((yield* entryOf(t, addr)).waits) s.wrong = "FOLL_HONOR_NUMA_FAULT has made no hinting fault";
        if (t.nodeOf(page) !== 0) s.wrong = "the fault has not brought the page to the node of the CPU";
        yield* t.putUserPage(page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.wrong === "" ? null : s.wrong;
  },
});
