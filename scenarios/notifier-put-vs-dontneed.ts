import { scenario } from "@faultline/checker";
import { Madv, Op, SWITCH, type Kernel, type MaySleep, type MmuNotifier, type MmuNotifierOps } from "@faultline/kernel";

/**
 * Two parts of a driver share the one subscription that an address space has (mmu_notifier_get()), and each gives its use of it up
 * (mmu_notifier_put()) while MADV_DONTNEED calls it: it is freed behind a grace period, once ("mm/mmu_notifiers: add a get/put scheme for the
 * registration", 2019).
 */
export default scenario({
  title: "mmu_notifier_put against MADV_DONTNEED",
  machine: { cpus: 3, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    const state = { made: 0, freed: 0, calledWhenFreed: false };
    const ops: MmuNotifierOps = {
      *allocNotifier() {
        yield* [];
        state.made++;
        return {
          ops,
          *invalidateRangeStart(k: Kernel): MaySleep<void> {
            for (let i = 0; i < 2; i++) {
              if (k.m.point(Op.DeviceLookup, t.mm.id)) yield SWITCH;
              if (state.freed > 0) state.calledWhenFreed = true;
            }
          },
          freeNotifier(k: Kernel): void {
            k.m.touches(Op.DeviceTable, t.mm.id);
            state.freed++;
          },
        };
      },
    };
    const { mmuNotifier } = t.k;
    const notifier = (yield* mmuNotifier.mmuNotifierGet(t.k, t.mm, ops)) as MmuNotifier;
    const same = (yield* mmuNotifier.mmuNotifierGet(t.k, t.mm, ops)) === notifier;
    return { page, state, notifier, same };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    one: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.k.mmuNotifier.mmuNotifierPut(t.k, t.mm, s.notifier);
      },
    },
    other: {
      on: { cpu: 2 },
      *run(t, s) {
        yield* t.k.mmuNotifier.mmuNotifierPut(t.k, t.mm, s.notifier);
      },
    },
  },

  *check(t, s) {
    yield* t.k.mmuNotifier.mmuNotifierSynchronize(t.k);
    if (!s.same || s.state.made !== 1) return "an address space has two subscriptions of one kind";
    if (s.state.calledWhenFreed) return "the subscription is called after it was freed";
    return s.state.freed === 1 ? null : `the subscription has been freed ${s.state.freed} times`;
  },
});
