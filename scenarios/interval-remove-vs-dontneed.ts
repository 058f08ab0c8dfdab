import { scenario } from "@faultline/checker";
import { Madv, Op, SWITCH, type IntervalNotifier, type MaySleep } from "@faultline/kernel";

/**
 * A driver subscribes to a range, and ends that, while MADV_DONTNEED goes through the subscriptions: who comes meanwhile
 * waits, who goes waits as well ("mm/mmu_notifier: add an interval tree notifier", 2019).
 */
export default scenario({
  title: "mmu_interval_notifier_remove against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const state = { gone: false, calledWhenGone: false };
    const notifier: IntervalNotifier = {
      id: t.k.m.locks.allocateId(),
      mm: t.mm,
      startVpn: page / 4096,
      endVpn: page / 4096 + 1,
      invalidateSeq: 0,
      *invalidate(k, _range, seq): MaySleep<boolean> {
        for (let i = 0; i < 2; i++) {
          if (k.m.point(Op.NotifierSeqSet, notifier.id)) yield SWITCH;
          notifier.invalidateSeq = seq;
          if (state.gone) state.calledWhenGone = true;
        }
        return true;
      },
    };
    return { page, state, notifier };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    driver: {
      on: { cpu: 1 },
      *run(t, s) {
        const { mmuNotifier } = t.k;
        yield* mmuNotifier.intervalInsert(t.k, s.notifier);
        const seq = yield* mmuNotifier.intervalReadBegin(t.k, s.notifier);
        yield* mmuNotifier.intervalReadRetry(t.k, s.notifier, seq);
        yield* mmuNotifier.intervalRemove(t.k, s.notifier);
        if (t.k.m.point(Op.NotifierSeqSet, s.notifier.id)) yield SWITCH;
        s.state.gone = true;
      },
    },
  },

  *check(t, s) {
    yield* [];
    if (t.mm.intervals.length + t.mm.deferredIntervals.length > 0) return "a subscription is left";
    return s.state.calledWhenGone ? "the subscription is called after its end" : null;
  },
});
