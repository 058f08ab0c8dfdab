import { scenario } from "@faultline/checker";
import { SpinLock } from "@faultline/kernel";

/** Two locks that are taken in either order, by threads that never meet: no execution deadlocks before one is preempted. */
export default scenario({
  title: "two locks in either order",

  *setup(t) {
    yield* t.mmap(1);
    const { locks } = t.k.m;
    return { locks: [new SpinLock(locks, "this"), new SpinLock(locks, "that")], flag: 0 };
  },

  threads: {
    one: {
      on: { cpu: 0 },
      *run(_t, s) {
        for (const lock of s.locks) if (!lock.tryLock()) yield* lock.lock();
        for (const lock of s.locks) if (!lock.tryUnlock()) yield* lock.unlock();
      },
    },
    two: {
      on: { cpu: 1 },
      *run(_t, s) {
        const [first, second] = s.locks;
        for (const lock of [second!, first!]) if (!lock.tryLock()) yield* lock.lock();
        for (const lock of s.locks) if (!lock.tryUnlock()) yield* lock.unlock();
      },
    },
  },
});
