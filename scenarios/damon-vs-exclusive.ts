import { scenario } from "@faultline/checker";
import { Op, SWITCH, type Atomic, type Kernel, type Mm } from "@faultline/kernel";

/**
 * DAMON makes a page old while a device takes it exclusively ("mm/damon: handle device-exclusive entries correctly in
 * damon_folio_mkold_one()", 2025). A use by the device counts, which its notifier tells; where nobody has used the page since,
 * it is old, though its entry is not present.
 */
export default scenario({
  title: "DAMON against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    // What the device has used, as a secondary MMU keeps it.
    const device = { young: false };
    const notifier = {
      *clearYoung(k: Kernel, mm: Mm): Atomic<boolean> {
        if (k.m.point(Op.DeviceTable, mm.id)) yield SWITCH;
        const { young } = device;
        device.young = false;
        return young;
      },
      *testYoung(k: Kernel, mm: Mm): Atomic<boolean> {
        if (k.m.point(Op.DeviceTable, mm.id)) yield SWITCH;
        return device.young;
      },
    };
    yield* t.k.mmuNotifier.mmuNotifierRegister(t.k, t.mm, notifier);
    return { page, frame: t.frameOf(page), device, notifier };
  },

  threads: {
    damon: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.damonMkold(s.frame);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.makeExclusive(0, s.page, 1);
        if (t.k.m.point(Op.DeviceTable, t.mm.id)) yield SWITCH;
        s.device.young = true;
      },
    },
  },

  *check(t, s) {
    const used = yield* t.damonYoung(s.frame);
    yield* t.damonMkold(s.frame);
    const since = yield* t.damonYoung(s.frame);
    yield* t.k.mmuNotifier.mmuNotifierUnregister(t.k, t.mm, s.notifier);
    if (since) return "nobody has used the page since it was made old, and it counts as used";
    return s.device.young && !used ? "the device has used the page, and it does not count as used" : null;
  },
});
