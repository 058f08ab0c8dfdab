import { scenario } from "@faultline/checker";

/**
 * A disk reads into a page that a device wants for itself: both have it, since a pin keeps the page and not the entry. Who makes it
 * exclusive takes the mapping away, and a walk without locks that has seen it looks again.
 */
export default scenario({
  title: "device-exclusive access against a pin",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.store32(page + 4, 200);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    read: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.page, true);
        yield* t.writeUserPage(page, 7);
        yield* t.unpinUserPage(page, true);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page + 4, 1);
      },
    },
  },

  *check(t, s) {
    const [read, added] = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    return read === 7 && added === 201 ? null : `the words are ${read} and ${added} instead of 7 and 201`;
  },
});
