import { scenario } from "@faultline/checker";
import mirror from "./drivers/mirror.js";

/**
 * The OOM reaper takes back the memory of a process that a device reads. It must not wait: a driver whose lock is taken says so, and
 * the range stays as it was (mmu_notifier_invalidate_range_start_nonblock()).
 */
export default scenario({
  title: "a driver's device fault against the OOM reaper",
  machine: { cpus: 1 },
  drivers: [mirror],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const child = yield* t.fork();
    const fd = yield* t.inChild(child, (c) => c.open("mirror0"));
    yield* t.engine(fd, "load32", page);
    yield* t.drainLruBatches();
    return { page, child, fd, all: true, read: 0 };
  },

  threads: {
    reaper: {
      on: { cpu: 0 },
      *run(t, s) {
        s.all = yield* t.reap(s.child);
      },
    },
    device: {
      on: { device: "mirror0" },
      *run(t, s) {
        s.read = yield* t.engine(s.fd, "load32", s.page);
      },
    },
  },

  *check(t, s) {
    const now = yield* t.engine(s.fd, "load32", s.page);
    const expected = s.all ? 0 : 1;
    if (now !== expected) return `the device reads ${now} after the reaper, which ${s.all ? "took all" : "was refused"}`;
    return s.read === 0 || s.read === 1 ? null : `the device has read ${s.read}`;
  },
});
