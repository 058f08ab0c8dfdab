import { Madv, Mutex, RwSem, SpinLock, SWITCH, Op, type MaySleep } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { explore, scenario, type Scenario, type ThreadApi } from "../src/index.js";

interface Lock {
  try(): boolean;
  take(): MaySleep<void>;
  drop(): MaySleep<void>;
}

const mutex = (t: ThreadApi, name: string): Lock => {
  const lock = new Mutex(t.k.m.locks, name);
  return { try: () => lock.tryLock(), take: () => lock.lock(), drop: () => dropped(lock) };
};

const spinlock = (t: ThreadApi, name: string): Lock => {
  const lock = new SpinLock(t.k.m.locks, name);
  return { try: () => lock.tryLock(), take: () => lock.lock(), drop: () => dropped(lock) };
};

function* dropped(lock: { tryUnlock(): boolean; unlock(): MaySleep<void> }): MaySleep<void> {
  if (!lock.tryUnlock()) yield* lock.unlock();
}

const folioLock = (t: ThreadApi, folio: number): Lock => ({
  try: () => t.k.folioLock.tryFolioLock(t.k, folio),
  *take() {
    yield* t.k.folioLock.folioLock(t.k, folio);
  },
  drop: () => t.k.folioLock.folioUnlock(t.k, folio),
});

const mmapLock = ({ mm }: ThreadApi): Lock => ({ try: () => mm.mmapLock.tryWrite(), take: () => mm.mmapLock.write(), drop: () => dropped(mm.mmapLock) });

function* both(first: Lock, second: Lock): MaySleep<void> {
  for (const lock of [first, second]) if (!lock.try()) yield* lock.take();
  for (const lock of [second, first]) yield* lock.drop();
}

/** Two threads that take two locks, each in its own order. */
function crosswise(make: (t: ThreadApi, page: number) => readonly [Lock, Lock]): Scenario {
  return scenario({
    title: "crosswise",
    *setup(t) {
      const page = yield* t.mmap(2);
      yield* t.store32(page, 1);
      yield* t.store32(page + 4096, 1);
      yield* t.drainLruBatches();
      return { locks: make(t, page) };
    },
    threads: {
      one: { on: { cpu: 0 }, run: (_t, s) => both(s.locks[0], s.locks[1]) },
      two: { on: { cpu: 1 }, run: (_t, s) => both(s.locks[1], s.locks[0]) },
    },
  });
}

const deadlockOf = (s: Scenario, preemptions = 2) => explore(s, { preemptions, ignore: ["lock-order"] }).violation;

describe("a circle of waits, told around", () => {
  test("of mutexes", () => {
    expect(deadlockOf(crosswise((t) => [mutex(t, "a"), mutex(t, "b")]))).toMatchObject({
      kind: "deadlock",
      preemptions: 1,
      message: "a circle of waits: one (CPU 0) waits for b (write), held by two (CPU 1) [it holds a]; two (CPU 1) waits for a (write), held by one (CPU 0) [it holds b]",
    });
  });

  test("of spinlocks", () => {
    expect(deadlockOf(crosswise((t) => [spinlock(t, "a"), spinlock(t, "b")]))).toMatchObject({
      message:
        "a circle of waits: one (CPU 0) waits for spinlock b, held by two (CPU 1) [it holds a]; two (CPU 1) waits for spinlock a, held by one (CPU 0) [it holds b]",
    });
  });

  test("of two folio locks, which are of one class, so that no order of classes tells", () => {
    const crossed = crosswise((t, page) => [folioLock(t, t.frameOf(page)), folioLock(t, t.frameOf(page + 4096))]);
    const { violation } = explore(crossed);
    expect(violation).toMatchObject({
      kind: "deadlock",
      message:
        "a circle of waits: one (CPU 0) waits for the folio lock of frame 7, held by two (CPU 1) [it holds folio_lock]; " +
        "two (CPU 1) waits for the folio lock of frame 6, held by one (CPU 0) [it holds folio_lock]",
    });
    expect(violation!.state!.after.folio).toMatchObject({ frame: 7, lockedBy: "two (CPU 1)" });
  });

  test("a folio lock whose holder waits for mmap_lock", () => {
    expect(deadlockOf(crosswise((t, page) => [mmapLock(t), folioLock(t, t.frameOf(page))]))).toMatchObject({
      kind: "deadlock",
      message:
        "a circle of waits: one (CPU 0) waits for the folio lock of frame 6, held by two (CPU 1) [it holds mmap_lock]; " +
        "two (CPU 1) waits for mmap_lock (write), held by one (CPU 0) [it holds folio_lock]",
    });
  });

  test("a reader that reads once more, behind a writer", () => {
    const again = scenario({
      title: "reads twice",
      *setup() {},
      threads: {
        reader: {
          on: { cpu: 0 },
          *run({ mm }) {
            for (let i = 0; i < 2; i++) if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
            for (let i = 0; i < 2; i++) yield* dropped(mm.mmapLock);
          },
        },
        writer: {
          on: { cpu: 1 },
          *run({ mm }) {
            if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
            yield* dropped(mm.mmapLock);
          },
        },
      },
    });
    expect(deadlockOf(again as Scenario)).toMatchObject({
      preemptions: 1,
      message:
        "a circle of waits: reader (CPU 0) waits for mmap_lock (read), behind the writer writer (CPU 1) [it holds mmap_lock]; " +
        "writer (CPU 1) waits for mmap_lock (write), held by reader (CPU 0)",
    });
  });

  test("the end of an invalidation, whose callback waits for a driver's mutex", () => {
    const crossed = scenario({
      title: "reads the first device's notifier under the mutex of the second's callback",
      machine: { devices: 2 },
      *setup(t) {
        const page = yield* t.mmap(1);
        yield* t.store32(page, 1);
        return { page };
      },
      threads: {
        mirror: {
          on: { cpu: 0 },
          *run(t) {
            const [first, second] = t.devices;
            if (!second!.mutex.tryLock()) yield* second!.mutex.lock();
            yield* t.k.mmuNotifier.intervalReadBegin(t.k, first!.notifier);
            yield* dropped(second!.mutex);
          },
        },
        discard: {
          on: { cpu: 1 },
          *run(t, s) {
            yield* t.madvise(s.page, 1, Madv.DONTNEED);
          },
        },
      },
    });
    expect(deadlockOf(crossed as Scenario)).toMatchObject({
      message:
        "a circle of waits: mirror (CPU 0) waits for the end of the invalidation of mm 1 (mmu_interval_read_begin), begun by discard (CPU 1) [it holds dmirror]; " +
        "discard (CPU 1) waits for dmirror (write), held by mirror (CPU 0) [it holds mmap_lock]",
    });
  });

  test("the readers of a VMA", () => {
    const readers = scenario({
      title: "VMA lock",
      *setup(t) {
        return { page: yield* t.mmap(1), lock: new Mutex(t.k.m.locks, "a") };
      },
      threads: {
        reader: {
          on: { cpu: 0 },
          *run(t, s) {
            const vma = t.mm.vmaAt(s.page / 4096);
            if (vma === null) return;
            if (t.k.m.point(Op.VmaRead, vma.id)) yield SWITCH;
            vma.beginRead();
            if (!s.lock.tryLock()) yield* s.lock.lock();
            yield* dropped(s.lock);
            yield* t.k.memory.vmaEndRead(t.k, vma);
          },
        },
        unmap: {
          on: { cpu: 1 },
          *run(t, s) {
            if (!s.lock.tryLock()) yield* s.lock.lock();
            yield* t.munmap(s.page, 1);
            yield* dropped(s.lock);
          },
        },
      },
    });
    expect(deadlockOf(readers as Scenario)!.message).toMatch(
      /^a circle of waits: reader \(CPU 0\) waits for a \(write\), held by unmap \(CPU 1\) \[it holds vma_lock\]; unmap \(CPU 1\) waits for the readers of VMA \d+, held by reader \(CPU 0\) \[it holds .*mmap_lock/,
    );
  });
});

test("a lock that is taken twice by one", () => {
  const twice = scenario({
    title: "twice",
    *setup(t) {
      return { lock: new RwSem(t.k.m.locks, "sem") };
    },
    threads: {
      only: {
        on: { cpu: 0 },
        *run(_t, { lock }) {
          for (let i = 0; i < 2; i++) if (!lock.tryWrite()) yield* lock.write();
        },
      },
    },
  });
  expect(deadlockOf(twice as Scenario)).toMatchObject({
    message: "only (CPU 0) waits for itself: only (CPU 0) waits for sem (write), held by itself [it holds sem]",
  });
});

test("where there is no circle, what each waits for", () => {
  const left = scenario({
    title: "left locked",
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      return { page };
    },
    threads: {
      forgets: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* folioLock(t, t.frameOf(s.page)).take();
        },
      },
      waits: {
        on: { cpu: 1 },
        *run(t, s) {
          const lock = folioLock(t, t.frameOf(s.page));
          if (!lock.try()) yield* lock.take();
          yield* lock.drop();
        },
      },
    },
  });
  expect(deadlockOf(left as Scenario)).toMatchObject({
    kind: "deadlock",
    message: "nobody can run any more, and there is no circle of locks: waits (CPU 1) waits for the folio lock of frame 6, which forgets (CPU 0) held to the end",
  });
});
