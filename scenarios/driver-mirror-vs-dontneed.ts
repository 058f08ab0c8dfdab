import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";
import mirror from "./drivers/mirror.js";

/**
 * A driver of one's own (docs/drivers.md) mirrors a page that is being thrown away. Each of the drivers in drivers/broken/
 * breaks one rule of the protocol between notifiers and drivers, and the report says which.
 */
export default scenario({
  title: "a driver's device fault against MADV_DONTNEED",
  machine: { cpus: 1 },
  drivers: [mirror],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, fd: yield* t.open("mirror0"), read: 0 };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    device: {
      on: { device: "mirror0" },
      *run(t, s) {
        s.read = yield* t.engine(s.fd, "load32", s.page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.read === 0 || s.read === 1 ? null : `the device has read ${s.read}`;
  },
});
