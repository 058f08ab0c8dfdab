import { Lru, Madv, Mutex, Op, PG, RssKind, SWITCH, type Kernel, type Machine, type MaySleep, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import atomicAdd from "../../../scenarios/atomic-add.js";
import faultExclusive from "../../../scenarios/fault-vs-exclusive.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import { explore, replay, scenario, type Scenario, type ScenarioThread, type ThreadApi } from "../src/index.js";
import { LockOrder } from "../src/lock_order.js";
import { bare, interleavings, pass } from "./bare.js";

describe("schedules", () => {
  test.each([0, 1, 2, 3])("all with at most %i preemptions, and no others", (bound) => {
    const seen = new Set<string>();
    let order = "";
    const thread = (name: string, cpu: number, points: number): ScenarioThread<null> => ({
      on: { cpu },
      *run(t) {
        yield* pass(t, points, () => (order += name));
        if (order.length === 7) {
          seen.add(order);
          order = "";
        }
      },
    });
    const report = explore(bare({ a: thread("0", 0, 4), b: thread("1", 1, 3) }), { preemptions: bound });
    expect(report.complete).toBe(true);
    expect([...seen].sort()).toEqual([...interleavings([4, 3], bound)].sort());
  });

  test("data choices are all drawn", () => {
    const seen = new Set<string>();
    const report = explore(
      bare({
        a: {
          on: { cpu: 0 },
          *run(t) {
            if (t.k.m.point(Op.Run, 0)) yield SWITCH;
            seen.add(`${t.k.m.choices.pick("x", 3)}${t.k.m.choices.pick("y", 2)}`);
          },
        },
      }),
      { preemptions: 0 },
    );
    expect(report).toMatchObject({ complete: true, executions: 6 });
    expect([...seen].sort()).toEqual(["00", "01", "10", "11", "20", "21"]);
  });

  test("one machine that goes back is as good as a new one each time", () => {
    for (const s of [faultExclusive, atomicAdd]) {
      const pooled = explore(s);
      const fresh = explore(s, { freshMachines: true });
      expect(pooled).toEqual(fresh);
    }
  });

  test("a page that setup swaps out has its contents each time", () => {
    const again = scenario({
      title: "a device adds to a page that is swapped out once more",
      machine: { cpus: 2, devices: 1, swapSlots: 16 },
      *setup(t) {
        const page = yield* t.mmap(1);
        yield* t.store32(page, 100);
        yield* t.madvise(page, 1, Madv.PAGEOUT);
        yield* t.deviceFault(0, page, 1, false);
        return { page };
      },
      threads: {
        pageout: { on: { cpu: 1 }, run: (t, s) => t.madvise(s.page, 1, Madv.PAGEOUT) },
        add: { on: { cpu: 0 }, run: (t, s) => t.deviceAtomicAdd32(0, s.page, 1) },
      },
      *check(t, s) {
        const value = yield* t.load32(s.page);
        return value === 101 ? null : `the word is ${value}`;
      },
    });
    expect(explore(again, { preemptions: 1 })).toMatchObject({ complete: true, violation: null });
  });

  test("a bound on executions is said", () => {
    const report = explore(faultExclusive, { executionsMax: 10 });
    expect(report).toMatchObject({ complete: false, executions: 10, violation: null });
  });
});

describe("ends", () => {
  const crossed = (): Scenario => {
    const side = (cpu: number, first: "a" | "b", second: "a" | "b"): ScenarioThread<{ a: Mutex; b: Mutex }> => ({
      on: { cpu },
      *run(_t, s) {
        for (const name of [first, second]) if (!s[name].tryLock()) yield* s[name].lock();
        for (const name of [second, first]) if (!s[name].tryUnlock()) yield* s[name].unlock();
      },
    });
    return scenario({
      title: "crossed locks",
       
      *setup(t) {
        return { a: new Mutex(t.k.m.locks, "lock a"), b: new Mutex(t.k.m.locks, "lock b") };
      },
      threads: { one: side(0, "a", "b"), two: side(1, "b", "a") },
    });
  };

  test("a lock order that can deadlock is reported before it does", () => {
    const { violation } = explore(crossed());
    expect(violation).toMatchObject({ kind: "lock-order", preemptions: 0 });
    expect(violation!.message).toMatch(/circle: lock [ab] -> lock [ab] -> lock [ab]/);
  });

  test("a deadlock says where everybody is", () => {
    const { violation } = explore(crossed(), { ignore: ["lock-order"] });
    expect(violation).toMatchObject({ kind: "deadlock", preemptions: 1 });
    expect(violation!.message).toBe(
      "a circle of waits: one (CPU 0) waits for lock b (write), held by two (CPU 1) [it holds lock a]; " +
        "two (CPU 1) waits for lock a (write), held by one (CPU 0) [it holds lock b]",
    );
  });

  const waiter: ScenarioThread<null> = {
    on: { cpu: 0 },
    *run(t) {
      while (!t.mm.m.memmap.has(0, PG.young)) if (t.k.m.point(Op.Run, 0)) yield SWITCH;
    },
  };

  test("a retry loop that nobody ends is a livelock", () => {
    const { violation } = explore(bare({ waiter, other: { on: { cpu: 1 }, run: (t) => pass(t, 2, () => undefined) } }));
    expect(violation).toMatchObject({ kind: "livelock", preemptions: 0 });
    expect(violation!.message).toMatch(/waiter \(CPU 0\) runs/);
  });

  test("one that somebody ends is not", () => {
    const setter: ScenarioThread<null> = { on: { cpu: 1 }, run: (t) => pass(t, 1, () => t.k.m.memmap.set(0, PG.young)) };
    expect(explore(bare({ waiter, setter }), { preemptions: 0 })).toMatchObject({ complete: true, violation: null });
  });

  describe("a retry loop that declares itself", () => {
    const declared: ScenarioThread<null> = {
      on: { cpu: 0 },
      *run(t) {
        const { memmap } = t.k.m;
        while (!memmap.has(0, PG.young)) if (t.k.m.retries.again("wait_young", () => memmap.has(0, PG.young))) yield SWITCH;
      },
    };
    const setter: ScenarioThread<null> = { on: { cpu: 1 }, run: (t) => pass(t, 3, () => t.k.m.memmap.set(0, PG.young)) };

    test("is run again when what it read has changed, and not before", () => {
      const report = explore(bare({ declared, setter }));
      expect(report).toMatchObject({ complete: true, violation: null, forced: 0, retries: 1 });
      expect(report.covers).toBe("sequentially consistent interleavings with at most 2 preemptions, retries up to 1");
    });

    test("is a livelock at once when nobody is left to change it", () => {
      const other: ScenarioThread<null> = { on: { cpu: 1 }, run: (t) => pass(t, 2, () => undefined) };
      const { violation } = explore(bare({ declared, other }));
      expect(violation).toMatchObject({ kind: "livelock", preemptions: 0 });
      expect(violation!.message).toBe("nobody changes what others retry for: declared (CPU 0) retries wait_young;");
      expect(violation!.trace.length).toBeLessThan(10);
    });
  });

  test("what is not drawn from the machine's choices is found out, and refused", () => {
    let executions = 0;
    const moody: ScenarioThread<null> = {
      on: { cpu: 0 },
      run: (t) => pass(t, executions++ % 2 === 0 ? 3 : 1, () => undefined),
    };
    const { violation } = explore(bare({ moody, other: { on: { cpu: 1 }, run: (t) => pass(t, 3, () => undefined) } }));
    expect(violation!.kind).toBe("nondeterminism");
  });

  test("a signal is an outcome", () => {
    const { violation } = explore(bare({ wild: { on: { cpu: 0 }, run: (t) => t.load32(0x5000) } }));
    expect(violation).toMatchObject({ kind: "outcome", message: "wild gets signal 11 (code 1) at 0x5000" });
  });

  test("an exception out of the engine is a finding that can be replayed", () => {
    const broken: OverlayFactory = () => ({
      zap: {
        zapPageRange: () => {
          throw new Error("engine broke");
        },
      },
    });
    const { violation } = explore(faultExclusiveDontneed, { overlays: [broken] });
    expect(violation!.kind).toBe("engine");
    expect(replay(faultExclusiveDontneed as Scenario, violation!.decisions, { overlays: [broken] })!.message).toContain("engine broke");
  });
});

describe("invariants", () => {
  /** The page of the scenario, its frame and where its entry stands. */
  interface Place {
    readonly k: Kernel;
    readonly t: ThreadApi;
    readonly vpn: number;
    readonly frame: number;
    readonly ptep: number;
  }
  /** Without anybody hearing of it: what is done would already be a breach of the notifiers' protocol. */
  const unheard = (m: Machine, change: () => void): void => {
    const { sink } = m;
    m.sink = null;
    change();
    m.sink = sink;
  };
  const swapped = (p: Place): number => p.k.m.pt.pfn(p.k.m.pt.lookup(p.t.mm.pgd, p.vpn + 1));

  const POKES: readonly (readonly [kind: string, message: RegExp, poke: (p: Place) => void])[] = [
    ["refcount", /has 3 references, and 2 holders: 1 entries, 0 swap or page cache, 1 batches/, (p) => p.k.m.memmap.refcount[p.frame]!++],
    ["refcount", /dropped a reference to page \d+ that it did not hold/, (p) => p.k.m.refs!.put(p.frame, "nowhere")],
    ["mapcount", /has a map count of 2, and 1 entries map it/, (p) => p.k.m.memmap.mapcount[p.frame]!++],
    ["rss", /RssAnon of mm 1 is 2, and there are 1 entries/, (p) => p.t.mm.rss[RssKind.anon]!++],
    ["rss", /VmSwap of mm 1 is 0, and there are 1 entries/, (p) => p.t.mm.rss[RssKind.swap]!--],
    ["swap", /swap slot \d+ has a count of 2, and 1 entries/, (p) => p.k.m.swap.count[swapped(p)]!++],
    ["swap", /used swap slots is 2, and there are 1 slots in use/, (p) => p.k.m.swap.used++],
    ["lru", /frame \d+ is marked as on an LRU list, and is on none/, (p) => p.k.m.memmap.set(p.frame, PG.lru)],
    ["lru", /inactiveAnon of \/scenario counts 1 pages, and has 0/, (p) => p.k.m.current!.memcg.lruvec.pages[Lru.inactiveAnon]!++],
    ["lru", /frame \d+ is on activeAnon of \/scenario, and not marked as on a list/, (p) => p.k.m.current!.memcg.lruvec.lists[Lru.activeAnon]!.addHead(p.frame)],
    ["memcg", /memory.current of \/scenario is \d+/, (p) => p.k.m.current!.memcg.usage++],
    ["memcg", /memory.swap.current of \/scenario is 2, and there are 1 slots/, (p) => p.k.m.current!.memcg.swapUsage++],
    ["leak", /folio lock of frame \d+ is still held/, (p) => p.k.m.memmap.set(p.frame, PG.locked)],
    ["leak", /an invalidation of mm 1 has begun and not ended/, (p) => p.t.mm.activeInvalidations++],
    ["leak", /lock of the VMA at 0x[0-9a-f]+ is still held/, (p) => p.t.mm.vmas[0]!.readers++],
    ["stale-tlb", /CPU 1 still has frame 9 in its TLB/, (p) => p.k.m.sched.executors[1]!.tlb.fill(p.vpn, 9, true, false, false)],
    [
      "device-table",
      /hmm_dmirror0 maps frame \d+ exclusively at page 0x[0-9a-f]+ at rest, but the CPU's entry is an ordinary one/,
      (p) => unheard(p.k.m, () => p.t.devices[0]!.table.set(p.vpn, { page: p.frame, write: false, atomic: true })),
    ],
    [
      "device-table",
      /maps frame \d+ writable at page 0x[0-9a-f]+ at rest, but the CPU's entry is in swap/,
      (p) => unheard(p.k.m, () => p.t.devices[0]!.table.set(p.vpn + 1, { page: p.frame, write: true, atomic: false })),
    ],
  ];

  test.each(POKES)("%s: %s", (kind, message, poke) => {
    const report = explore(
      scenario({
        title: "poked",
        machine: { cpus: 2, devices: 1, swapSlots: 8 },
        *setup(t) {
          const page = yield* t.mmap(2);
          yield* t.store32(page + 4096, 1);
          yield* t.drainLruBatches();
          yield* t.reclaim(1);
          yield* t.store32(page, 1);
          return { page };
        },
        threads: {
          poker: {
            on: { cpu: 0 },
             
            *run(t, s) {
              const vpn = s.page / 4096;
              const { pt, memmap } = t.k.m;
              const ptep = pt.lookup(t.mm.pgd, vpn);
              poke({ k: t.k, t, vpn, ptep, frame: memmap.pfnToPage(pt.pfn(ptep)) });
            },
          },
        },
      }),
      { preemptions: 0 },
    );
    expect(report.violation).toMatchObject({ kind, message: expect.stringMatching(message) as string });
  });

  test("a device that maps a page without asking again keeps one that MADV_DONTNEED freed", () => {
    const noRetry: OverlayFactory = () => ({
      testHmm: {
        *dmirrorAtomicMap(k, dmirror, vpn, page): MaySleep<boolean> {
          if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
          if (k.m.point(Op.DeviceTable, vpn)) yield SWITCH;
          dmirror.table.set(vpn, { page, write: false, atomic: true });
          if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
          return true;
        },
      },
    });
    const { violation } = explore(faultExclusiveDontneed, { overlays: [noRetry] });
    expect(violation!.kind).toBe("notifier-protocol");
    expect(violation!.message).toMatch(/^exclusive enters frame \d+ at page 0x[0-9a-f]+ in the table of hmm_dmirror0, and has not called mmu_interval_read_begin/);
  });
});

test("the lock order names each pair once, and no trylock closes a circle", () => {
  const findings: string[] = [];
  const order = new LockOrder((f) => findings.push(f.message));
  const task = { id: 1 } as never;
  order.acquired(task, "a", 1);
  order.acquired(task, "b", 2);
  order.released(task, "b", 2);
  order.released(task, "a", 1);
  order.acquired(task, "b", 2);
  order.acquired(task, "a", 1, true);
  expect(findings).toEqual([]);
  expect(order.edges()).toEqual([["a", "b"]]);
  order.released(task, "a", 1);
  order.mayWait(task, "a");
  expect(findings).toEqual(["locks are taken in a circle: b -> a -> b"]);
});
