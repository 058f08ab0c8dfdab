import { scenario } from "@faultline/checker";

/**
 * Do pins keep a device from migrating a page? Yes: who migrates finds a reference that nothing accounts for, and leaves the page
 * where it is; and a walk without locks that comes too late finds the entry gone. What the disk brings is never left behind.
 */
export default scenario({
  title: "migration to a device against a pin",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    read: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.page, true);
        yield* t.writeUserPage(page, 7);
        yield* t.unpinUserPage(page, true);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `what was read is lost: the word is ${value} instead of 7`;
  },
});
