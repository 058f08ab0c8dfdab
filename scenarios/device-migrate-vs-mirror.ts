import { scenario } from "@faultline/checker";

/** A page moves to the memory of one device while another mirrors it: that one is told, as of any migration. */
export default scenario({
  title: "migration to a device against another that mirrors the page",
  machine: { cpus: 1, devices: 2, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    mirror: {
      on: { device: 1 },
      *run(t, s) {
        if ((yield* t.deviceStore32(1, s.page, 7)) === 0) s.expected = 7;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
