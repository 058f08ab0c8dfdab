import { scenario } from "@faultline/checker";
import { Op, SWITCH, type Atomic, type Kernel, type Mm } from "@faultline/kernel";

/**
 * A device that has page tables of its own, as KVM's guests have, and that keeps itself who was used there: idle page tracking
 * asks it (mmu_notifier_clear_young()), so that what it has used since the page was marked is not idle.
 */
export default scenario({
  title: "idle page tracking against a use by a device",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    const device = { young: true };
    const notifier = {
      *clearYoung(k: Kernel, mm: Mm): Atomic<boolean> {
        if (k.m.point(Op.DeviceTable, mm.id)) yield SWITCH;
        const { young } = device;
        device.young = false;
        return young;
      },
    };
    yield* t.k.mmuNotifier.mmuNotifierRegister(t.k, t.mm, notifier);
    return { page, frame: t.frameOf(page), device, notifier, marked: false, usedSince: false };
  },

  threads: {
    track: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.markIdle(s.frame);
        if (t.k.m.point(Op.DeviceTable, t.mm.id)) yield SWITCH;
        s.marked = true;
      },
    },
    device: {
      on: { cpu: 1 },
      *run(t, s) {
        if (t.k.m.point(Op.DeviceTable, t.mm.id)) yield SWITCH;
        s.device.young = true;
        s.usedSince = s.marked;
      },
    },
  },

  *check(t, s) {
    const idle = yield* t.isIdle(s.frame);
    yield* t.k.mmuNotifier.mmuNotifierUnregister(t.k, t.mm, s.notifier);
    return s.usedSince && idle ? "the device has used the page since it was marked, and it counts as idle" : null;
  },
});
