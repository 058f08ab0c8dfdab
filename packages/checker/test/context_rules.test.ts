import { Errno, Gfp, HmmPfn, Mutex, SWITCH, TaskState, type Atomic, type Dmirror, type HmmRange, type Kernel, type MaySleep, type NotifierRange, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import faultExclusive from "../../../scenarios/fault-vs-exclusive.js";
import mirrorDontneed from "../../../scenarios/mirror-dontneed.js";
import rangeFaultInCallback from "../../../scenarios/undone/range-fault-in-callback.js";
import { explore, replay, scenario, type Scenario, type ThreadApi } from "../src/index.js";

/** A scenario in which a thread does something under a spinlock, or inside an RCU section, that the types forbid. */
function atomically(body: (t: ThreadApi, lock: Mutex, page: number) => MaySleep<unknown>, under: "spinlock" | "RCU"): Scenario {
  return scenario({
    title: "in atomic context",
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      return { lock: new Mutex(t.k.m.locks, "sleeping"), page };
    },
    threads: {
      careless: {
        on: { cpu: 0 },
        *run(t, s) {
          const ptl = t.k.m.pt.lockOf(t.k.m.pt.lookup(t.mm.pgd, s.page / 4096));
          if (under === "RCU") t.k.rcu.rcuReadLock(t.k);
          else if (!ptl.tryLock()) yield* ptl.lock();
          yield* body(t, s.lock, s.page);
          if (under === "RCU") {
            if (!t.k.rcu.tryRcuReadUnlock(t.k)) yield* t.k.rcu.rcuReadUnlock(t.k);
          } else if (!ptl.tryUnlock()) yield* ptl.unlock();
        },
      },
    },
  });
}

function* takeMutex(_t: ThreadApi, lock: Mutex): MaySleep<void> {
  if (!lock.tryLock()) yield* lock.lock();
  if (!lock.tryUnlock()) yield* lock.unlock();
}

function* lockFolio(t: ThreadApi, _lock: Mutex, page: number): MaySleep<void> {
  const folio = t.frameOf(page);
  if (!t.k.folioLock.tryFolioLock(t.k, folio)) yield* t.k.folioLock.folioLock(t.k, folio);
  yield* t.k.folioLock.folioUnlock(t.k, folio);
}

function* allocate(t: ThreadApi): MaySleep<void> {
  yield* t.k.swap.folioPut(t.k, yield* t.k.pageAlloc.allocPage(t.k, Gfp.DIRECT_RECLAIM), "alloc");
}

describe("sleeping in atomic context", () => {
  test.each([
    ["a mutex that is free", takeMutex, "spinlock", "careless calls what may sleep (sleeping) inside a spinlock (it holds ptl): sleeping function called from invalid context"],
    ["a mutex that is free", takeMutex, "RCU", "careless calls what may sleep (sleeping) inside an RCU read-side section: sleeping function called from invalid context"],
    ["a folio lock that is free", lockFolio, "spinlock", "careless calls what may sleep (folio_lock) inside a spinlock (it holds ptl): sleeping function called from invalid context"],
    ["an allocation", allocate, "RCU", "careless calls what may sleep (an allocation that may reclaim) inside an RCU read-side section: sleeping function called from invalid context"],
    ["synchronize_rcu()", (t: ThreadApi) => t.k.rcu.synchronizeRcu(t.k), "spinlock", "careless calls what may sleep (synchronize_rcu) inside a spinlock (it holds ptl): sleeping function called from invalid context"],
  ] as const)("%s", (_, body, under, message) => {
    expect(explore(atomically(body, under)).violation).toMatchObject({ kind: "atomic-sleep", message, preemptions: 0 });
  });

  test("giving up the CPU", () => {
    const sleep = (t: ThreadApi): MaySleep<boolean> => t.mm.invalidateWait.sleep(TaskState.Uninterruptible, "what never comes");
    expect(explore(atomically(sleep, "spinlock")).violation).toMatchObject({
      kind: "atomic-sleep",
      message: "careless gives up its CPU (waiting for what never comes) inside a spinlock (it holds ptl): scheduling while atomic",
    });
  });

  test("an overlay that casts the types away", () => {
    const careless: OverlayFactory = (base) => ({
      rmap: {
        *setExclusivePte(k, vma, vpn, folio, page, ptep): MaySleep<void> {
          // The page-table lock is held here.
          const { mmapLock } = vma.mm;
          if (!mmapLock.tryRead()) yield* mmapLock.read();
          yield* base.rmap.setExclusivePte(k, vma, vpn, folio, page, ptep);
          if (!mmapLock.tryUnlock()) yield* mmapLock.unlock();
        },
      },
    });
    const { violation } = explore(faultExclusive, { overlays: [careless] });
    expect(violation).toMatchObject({ kind: "atomic-sleep", message: expect.stringMatching(/^\w+ calls what may sleep \(mmap_lock\) inside a spinlock \(it holds .*ptl\)/) as string });
  });
});

describe("an invalidate callback that faults its own range in", () => {
  type Callback = (k: Kernel, dmirror: Dmirror, range: NotifierRange, seq: number) => MaySleep<unknown>;

  /** The callback of the test driver does something first. */
  const inCallback =
    (first: Callback): OverlayFactory =>
    (base) => ({
      testHmm: {
        *dmirrorIntervalInvalidate(k, dmirror, range, seq): MaySleep<boolean> {
          yield* first(k, dmirror, range, seq);
          return yield* base.testHmm.dmirrorIntervalInvalidate(k, dmirror, range, seq);
        },
      },
    });

  const rangeOf = ({ mm, notifier }: Dmirror, { startVpn }: NotifierRange, notifierSeq: number): HmmRange => ({
    mm,
    notifier,
    notifierSeq,
    startVpn,
    endVpn: startVpn + 1,
    flags: new Uint8Array(1),
    pages: new Int32Array(1),
    defaultFlags: HmmPfn.REQ_FAULT,
    pfnFlagsMask: 0,
    devPrivateOwner: null,
    unlocked: false,
  });

  function* untilItWorks(k: Kernel, dmirror: Dmirror, range: NotifierRange, seq: number): MaySleep<void> {
    const { notifier } = dmirror;
    notifier.invalidateSeq = seq;
    while ((yield* k.hmm.hmmRangeFault(k, rangeOf(dmirror, range, seq - 2))) === -Errno.EBUSY) if (k.m.retries.again("driver")) yield SWITCH;
  }

  function* underMmapLock(k: Kernel, dmirror: Dmirror, range: NotifierRange): MaySleep<void> {
    const { mmapLock } = dmirror.mm;
    if (!mmapLock.tryRead()) yield* mmapLock.read();
    yield* k.hmm.hmmRangeFault(k, rangeOf(dmirror, range, dmirror.notifier.invalidateSeq));
    if (!mmapLock.tryUnlock()) yield* mmapLock.unlock();
  }

  function* underItsMutex(k: Kernel, dmirror: Dmirror, range: NotifierRange): MaySleep<void> {
    if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
    yield* k.testHmm.dmirrorFault(k, dmirror, range.startVpn, range.endVpn, true);
    if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  }

  const CALLS: readonly (readonly [string, RegExp, Callback])[] = [
    ["through the driver's fault", /^\w+ calls mmu_interval_read_begin\(\), to read with hmm_range_fault\(\), inside/, (k, d, r) => k.testHmm.dmirrorFault(k, d, r.startVpn, r.endVpn, false)],
    ["under the driver's mutex", /^\w+ calls mmu_interval_read_begin\(\)/, underItsMutex],
    ["once, whatever it answers", /^\w+ calls hmm_range_fault\(\) inside/, (k, d, r) => k.hmm.hmmRangeFault(k, rangeOf(d, r, d.notifier.invalidateSeq))],
    ["until it answers no more EBUSY", /^\w+ calls hmm_range_fault\(\) inside/, untilItWorks],
    ["under mmap_lock", /^\w+ asks for mmap_lock, under which hmm_range_fault\(\) runs, inside/, underMmapLock],
    ["as a cast lets it, without a generator", /^\w+ calls hmm_range_fault\(\)/, (k, d, r) => {
      const walk = k.hmm.hmmRangeFault(k, rangeOf(d, r, 0)) as unknown as Atomic<number>;
      return (function* (): Atomic<void> {
        while (walk.next().done !== true);
      })();
    }],
  ];

  test.each(CALLS)("%s", (_, message, callback) => {
    const overlays = [inCallback(callback)];
    const { violation } = explore(mirrorDontneed, { overlays });
    expect(violation).toMatchObject({ kind: "notifier-recursion", preemptions: 0, message: expect.stringMatching(message) as string });
    expect(violation!.message).toMatch(/where the notifier's sequence is odd until the callback has returned, so that it can only get -EBUSY for ever, or wait for/);
    expect(violation!.state!.after.notifier).toMatchObject({ sequence: 3, invalidations: 1, by: ["dontneed (CPU 1)"] });
    expect(replay(mirrorDontneed as Scenario, violation!.decisions, { overlays })).toEqual(violation);
  });

  test("the patch in scenarios/undone, where it breaks the setup already", () => {
    const overlays = [rangeFaultInCallback.apply];
    const { violation } = explore(faultExclusiveDontneed, { overlays });
    expect(violation).toMatchObject({ kind: "notifier-recursion", decisions: [], at: { thread: "setup", executor: "CPU 0" } });
    expect(violation!.trace.some((step) => step.function === "dmirror_interval_invalidate")).toBe(true);
    expect(replay(faultExclusiveDontneed as Scenario, [], { overlays })).toEqual(violation);
  });
});
