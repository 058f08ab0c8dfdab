import { scenario, type ThreadApi } from "@faultline/checker";
import { Op, PTE, SWITCH, type Atomic } from "@faultline/kernel";

/** Whether the entry of an address waits for a hinting fault. */
function* waits(t: ThreadApi, addr: number): Atomic<boolean> {
  const { m } = t.k;
  const entry = m.pt.find(t.mm.pgd, addr / 4096);
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  return (m.pt.flags(entry) & PTE.PROT_NONE) !== 0;
}

/**
 * Does a pin (O_DIRECT, or VFIO's, FOLL_LONGTERM) move a page to the node of whoever pins it ("smaps / mm/gup: fix
 * gup_can_follow_protnone fallout", 2023)? No: it is pinned where it is, and stays there for as long as it is pinned, whoever
 * uses it. A pin for ever is the last word: the memory must be on the right node before.
 */
export default scenario({
  title: "does a pin move a page to the node of who pins it?",
  machine: { cpus: 2, nodes: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    for (const at of [page, page + 4096]) {
      yield* t.homeOn(at, 1, 1);
      yield* t.store32(at, 100);
    }
    yield* t.drainLruBatches();
    const frames = [t.frameOf(page), t.frameOf(page + 4096)];
    yield* t.numaScan(page, 2);
    return { page, frames, wrong: "" };
  },

  threads: {
    // On node 0, as whoever sets a device up.
    pin: {
      on: { cpu: 0 },
      *run(t, s) {
        for (const i of [0, 1]) {
          const addr = s.page + i * 4096;
          const pinned = yield* t.pinUserPage(addr, false, i === 1);
          if (pinned < 0) {
            s.wrong = `pin_user_pages() answers ${pinned}`;
            return;
          }
          if (pinned !== s.frames[i] && s.wrong === "") s.wrong = "the page is pinned elsewhere than it was";
          // Of the other CPU 1, to whose node it belongs, may have made one.
          if (i === 0 && s.wrong === "" && !(yield* waits(t, addr))) s.wrong = "a pin has made a hinting fault";
          yield* t.load32(addr);
          if (t.frameOf(addr) !== pinned) s.wrong = "the page has moved, though it is pinned";
          yield* t.unpinUserPage(pinned, false);
        }
      },
    },
    use: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.load32(s.page + 4096);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.wrong === "" ? null : s.wrong;
  },
});
