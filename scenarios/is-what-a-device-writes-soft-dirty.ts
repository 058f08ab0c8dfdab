import { scenario, type ThreadApi } from "@faultline/checker";
import { PM, type MaySleep } from "@faultline/kernel";

function* softDirty(t: ThreadApi, addr: number): MaySleep<boolean> {
  let dirty = false;
  yield* t.k.pagemap.pagemapTable(t.k, t.mm, addr / 4096, addr / 4096 + 1, (_vpn, flags) => (dirty = (flags & PM.SOFT_DIRTY) !== 0));
  return dirty;
}

/**
 * Is what a device writes soft-dirty? In RAM yes: clear_refs leaves entries that cannot be written, so that the device's next
 * write faults. In memory of its own no: the device needs nobody's leave there, and a page comes back as clean as it went, and
 * writable, so that a CPU's writes are not seen either ("HMM: un-addressable device memory", 2017). Who tracks the writes of a
 * process must bring its pages back before he clears the marks.
 */
export default scenario({
  title: "is what a device writes soft-dirty?",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(2);
    for (const at of [page, page + 4096]) yield* t.store32(at, 1);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page + 4096, 1);
    return { page, after: 0 };
  },

  threads: {
    clear: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.k.clearRefs.storeClearRefs(t.k, t.mm, "4");
        s.after = yield* t.load32(s.page);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 2);
        yield* t.deviceStore32(0, s.page + 4096, 2);
      },
    },
  },

  *check(t, s) {
    const own = s.page + 4096;
    if (s.after !== 2 && !(yield* softDirty(t, s.page))) return "the device has written to RAM since clear_refs, and the page is not soft-dirty";
    yield* t.k.clearRefs.storeClearRefs(t.k, t.mm, "4");
    yield* t.deviceStore32(0, own, 3);
    if (yield* softDirty(t, own)) return "what the device writes to its own memory is soft-dirty";
    const value = yield* t.load32(own);
    if (value !== 3) return `the word is ${value} instead of 3`;
    if (yield* softDirty(t, own)) return "what the device has written to its own memory is soft-dirty once it is back";
    yield* t.store32(own, 4);
    if (yield* softDirty(t, own)) return "what a CPU writes to a page that has come back is soft-dirty";
    yield* t.k.clearRefs.storeClearRefs(t.k, t.mm, "4");
    yield* t.store32(own, 5);
    return (yield* softDirty(t, own)) ? null : "what a CPU writes since marks were cleared is not soft-dirty";
  },
});
