import { scenario } from "@faultline/checker";
import type { Dmirror } from "@faultline/kernel";

/**
 * A page was brought to a device by one file, and the device writes to it through another, which was opened first, while a CPU wants it back. The
 * page says who has brought it (zone_device_data): that the other file is to fail is no concern of the fault.
 */
export default scenario({
  title: "CPU fault on a device's page against a store by another file of the device",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const [other, fd] = [yield* t.open("hmm_dmirror0"), yield* t.open("hmm_dmirror0")];
    yield* t.drainLruBatches();
    yield* t.engine(fd, "migrateToDevice", page, 1);
    yield* t.engine(other, "failNextAlloc");
    return { page, other };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page + 4, 2);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.engine(s.other, "store32", s.page, 3);
      },
    },
  },

  *check(t, s) {
    const words = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    if (words.join() !== "3,2") return `an update is lost: ${words.join(", ")}`;
    // It would have been tried again, and nobody would know but the file.
    const other = t.k.m.mirrors[1] as Dmirror;
    return other.failsNextAlloc ? null : "an allocation for one file has failed that another was to have fail";
  },
});
