import { scenario } from "@faultline/checker";
import { Madv, Op, SWITCH, type Kernel, type MaySleep } from "@faultline/kernel";

/**
 * A driver ends its subscription to an address space while MADV_DONTNEED calls it: when mmu_notifier_unregister() has
 * returned, nobody does any more ("mm: mmu_notifier: have mmu_notifiers use a global SRCU", 2012).
 */
export default scenario({
  title: "mmu_notifier_unregister against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    const state = { gone: false, calledWhenGone: false };
    const notifier = {
      *invalidateRangeStart(k: Kernel): MaySleep<void> {
        for (let i = 0; i < 2; i++) {
          if (k.m.point(Op.DeviceLookup, t.mm.id)) yield SWITCH;
          if (state.gone) state.calledWhenGone = true;
        }
      },
    };
    yield* t.k.mmuNotifier.mmuNotifierRegister(t.k, t.mm, notifier);
    return { page, state, notifier };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    unregister: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.k.mmuNotifier.mmuNotifierUnregister(t.k, t.mm, s.notifier);
        if (t.k.m.point(Op.DeviceTable, t.mm.id)) yield SWITCH;
        s.state.gone = true;
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.state.calledWhenGone ? "the subscription is called after its end" : null;
  },
});
