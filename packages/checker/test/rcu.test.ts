import { Madv, Op, SWITCH, type Atomic, type IntervalNotifier, type Kernel, type MaySleep, type MmuNotifier, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import gupFastMunmap from "../../../scenarios/gup-fast-munmap.js";
import vmaLockMunmap from "../../../scenarios/vma-lock-munmap.js";
import { explore, scenario, type Scenario } from "../src/index.js";

/** Page tables and VMAs freed at once, as if nobody could be looking at them. */
const TABLES_AT_ONCE: OverlayFactory = () => ({
  mmGather: {
    *tlbTableFlush(k, tables): Atomic<void> {
      yield* k.mmGather.freeTables(k, tables);
    },
  },
});
const VMAS_AT_ONCE: OverlayFactory = () => ({
  mmap: {
    *vmAreaFree(k, vma): Atomic<void> {
      yield* k.mmap.vmAreaGone(k, vma);
    },
  },
});

describe("walks without locks", () => {
  test.each([
    [gupFastMunmap, TABLES_AT_ONCE, /^gup reaches entry \d+ of a page table that has been freed/],
    [vmaLockMunmap, VMAS_AT_ONCE, /^fault looks into VMA \d+, which has been freed/],
  ] as const)("$title: what is freed at once is found", (s, overlay, message) => {
    expect(explore(s as Scenario, { overlays: [overlay] }).violation).toMatchObject({
      kind: "use-after-free",
      preemptions: 1,
      message: expect.stringMatching(message) as string,
    });
  });
});

/** A list of one element under RCU: a reader looks twice, a writer takes the element out, waits, and frees it. */
function list(wait: (k: Kernel, free: () => void) => MaySleep<void>): Scenario {
  return scenario({
    title: "a list under RCU",
    machine: { cpus: 2, devices: 0 },
    *setup() {
      yield* [];
      const first: { element: { freed: boolean } | null; wrong: boolean } = { element: { freed: false }, wrong: false };
      return first;
    },
    threads: {
      reader: {
        on: { cpu: 0 },
        *run(t, s) {
          t.k.rcu.rcuReadLock(t.k);
          t.k.rcu.rcuReadLock(t.k);
          if (t.k.m.point(Op.Run, 1)) yield SWITCH;
          const found = s.element;
          for (let i = 0; i < 2; i++) {
            if (t.k.m.point(Op.Run, 2)) yield SWITCH;
            if (found?.freed === true) s.wrong = true;
            if (!t.k.rcu.tryRcuReadUnlock(t.k)) yield* t.k.rcu.rcuReadUnlock(t.k);
          }
        },
      },
      writer: {
        on: { cpu: 1 },
        *run(t, s) {
          if (t.k.m.point(Op.Run, 1)) yield SWITCH;
          const old = s.element;
          if (old === null) return;
          s.element = null;
          yield* wait(t.k, () => (old.freed = true));
        },
      },
    },
    *check(_t, s) {
      yield* [];
      return s.wrong ? "the reader saw what was freed" : null;
    },
  });
}

describe("grace periods", () => {
  function* synchronize(k: Kernel, free: () => void): MaySleep<void> {
    yield* k.rcu.synchronizeRcu(k);
    free();
  }
  function* call(k: Kernel, free: () => void): MaySleep<void> {
    yield* k.rcu.callRcu(k, function* (): Atomic<void> {
      if (k.m.point(Op.Run, 3)) yield SWITCH;
      free();
    });
  }

  test.each([
    ["synchronize_rcu", synchronize],
    ["call_rcu", call],
  ] as const)("%s: nobody sees what is freed behind one", (_name, wait) => {
    expect(explore(list(wait), { preemptions: 3 })).toMatchObject({ complete: true, violation: null });
  });

  test("without one, somebody does", () => {
    const none: OverlayFactory = () => ({
      rcu: {
        *synchronizeRcu(): MaySleep<void> {
          yield* [];
        },
      },
    });
    expect(explore(list(synchronize), { overlays: [none] }).violation).toMatchObject({ kind: "outcome", preemptions: 1 });
  });

  test("one that waits for a reader who waits for it is a deadlock", () => {
    const inside = scenario({
      title: "synchronize_rcu inside a section",
      machine: { cpus: 1, devices: 0 },
      *setup() {
        yield* [];
        return null;
      },
      threads: {
        fool: {
          on: { cpu: 0 },
          *run(t) {
            t.k.rcu.rcuReadLock(t.k);
            yield* t.k.rcu.synchronizeRcu(t.k);
          },
        },
      },
    });
    expect(explore(inside).violation).toMatchObject({ kind: "atomic-sleep", message: expect.stringContaining("fool calls what may sleep (synchronize_rcu) inside an RCU read-side section") as string });
    expect(explore(inside, { ignore: ["atomic-sleep"] }).violation).toMatchObject({
      kind: "deadlock",
      message: "fool (CPU 0) waits for itself: fool (CPU 0) waits for an RCU grace period, not ended by itself",
    });
  });
});

describe("notifiers of a whole address space", () => {
  interface Subscriber extends MmuNotifier {
    freed: boolean;
    calledWhenFreed: boolean;
    released: boolean;
  }

  function subscriber(): Subscriber {
    const self: Subscriber = {
      freed: false,
      calledWhenFreed: false,
      released: false,
      *invalidateRangeStart(k): MaySleep<void> {
        for (let i = 0; i < 2; i++) {
          if (k.m.point(Op.Run, 4)) yield SWITCH;
          if (self.freed) self.calledWhenFreed = true;
        }
      },
      *release(k): MaySleep<void> {
        if (k.m.point(Op.Run, 5)) yield SWITCH;
        self.released = true;
      },
      freeNotifier: () => (self.freed = true),
    };
    return self;
  }

  const leaving = (leave: (k: Kernel, n: Subscriber) => MaySleep<void>): Scenario =>
    scenario({
      title: "a subscription ends during an invalidation",
      machine: { cpus: 2, devices: 0 },
      *setup(t) {
        const page = yield* t.mmap(1);
        const notifier = subscriber();
        yield* t.k.mmuNotifier.mmuNotifierRegister(t.k, t.mm, notifier);
        return { page, notifier };
      },
      threads: {
        zap: {
          on: { cpu: 0 },
          *run(t, s) {
            yield* t.munmap(s.page, 1);
          },
        },
        leave: {
          on: { cpu: 1 },
          *run(t, s) {
            yield* leave(t.k, s.notifier);
          },
        },
      },
      *check(_t, s) {
        yield* [];
        if (s.notifier.calledWhenFreed) return "the subscription is called after its end";
        return s.notifier.freed ? null : "the subscription is not freed";
      },
    });

  function* unregister(k: Kernel, n: Subscriber): MaySleep<void> {
    yield* k.mmuNotifier.mmuNotifierUnregister(k, k.m.current!.mm!, n);
    if (!n.released) throw new Error("not released");
    n.freed = true;
  }
  function* put(k: Kernel, n: Subscriber): MaySleep<void> {
    yield* k.mmuNotifier.mmuNotifierPut(k, k.m.current!.mm!, n);
  }

  test.each([
    ["unregister", unregister],
    ["put", put],
  ] as const)("%s: it is not called when it is freed", (_name, leave) => {
    expect(explore(leaving(leave))).toMatchObject({ complete: true, violation: null });
  });

  test.each([
    ["unregister", unregister, { *synchronizeSrcu(): MaySleep<void> { yield* []; } }],
    ["put", put, { *callSrcu(_k: Kernel, _d: unknown, callback: () => Atomic<void>): Atomic<void> { yield* callback(); } }],
  ] as const)("%s without a grace period: it is", (_name, leave, rcu) => {
    expect(explore(leaving(leave), { overlays: [() => ({ rcu })] }).violation).toMatchObject({
      kind: "outcome",
      message: "the subscription is called after its end",
    });
  });
});

describe("notifiers of a range", () => {
  /** Subscribes, is perhaps called, and unsubscribes: calls that come behind that are counted. */
  const comingAndGoing = scenario({
    title: "an interval comes and goes during an invalidation",
    machine: { cpus: 2, devices: 0 },
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      const state = { page, gone: false, calledWhenGone: false };
      const notifier: IntervalNotifier = {
        id: t.k.m.locks.allocateId(),
        mm: t.mm,
        startVpn: page / 4096,
        endVpn: page / 4096 + 1,
        invalidateSeq: 0,
        *invalidate(k, _range, seq): MaySleep<boolean> {
          notifier.invalidateSeq = seq;
          for (let i = 0; i < 2; i++) {
            if (k.m.point(Op.Run, 6)) yield SWITCH;
            if (state.gone) state.calledWhenGone = true;
          }
          return true;
        },
      };
      return { state, notifier };
    },
    threads: {
      zap: {
        on: { cpu: 0 },
        *run(t, { state }) {
          yield* t.madvise(state.page, 1, Madv.DONTNEED);
        },
      },
      driver: {
        on: { cpu: 1 },
        *run(t, { state, notifier }) {
          yield* t.k.mmuNotifier.intervalInsert(t.k, notifier);
          const seq = yield* t.k.mmuNotifier.intervalReadBegin(t.k, notifier);
          yield* t.k.mmuNotifier.intervalReadRetry(t.k, notifier, seq);
          yield* t.k.mmuNotifier.intervalRemove(t.k, notifier);
          state.gone = true;
        },
      },
    },
    *check(t, { state }) {
      yield* [];
      if (t.mm.intervals.length + t.mm.deferredIntervals.length > 0) return "a subscription is left";
      return state.calledWhenGone ? "the subscription is called after its end" : null;
    },
  }) as Scenario;

  test("nobody calls one that has been removed", () => {
    expect(explore(comingAndGoing, { preemptions: 3 })).toMatchObject({ complete: true, violation: null });
  });

  test("unless its removal does not wait", () => {
    const hasty: OverlayFactory = () => ({
      mmuNotifier: {
        *intervalRemove(k, notifier): MaySleep<void> {
          if (k.m.point(Op.NotifierSubscribe, notifier.mm.id)) yield SWITCH;
          notifier.mm.intervals.splice(0);
          notifier.mm.deferredIntervals.splice(0);
        },
      },
    });
    expect(explore(comingAndGoing, { overlays: [hasty] }).violation).toMatchObject({
      kind: "outcome",
      message: "the subscription is called after its end",
    });
  });
});
