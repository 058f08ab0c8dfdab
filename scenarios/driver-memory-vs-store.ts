import { scenario } from "@faultline/checker";
import memory from "./drivers/mirror-memory.js";

/** A driver of one's own (docs/drivers.md) moves a page to its device's memory, and a CPU writes to it: no update is lost. */
export default scenario({
  title: "a driver's migration to its device against a store",
  machine: { cpus: 1, devicePages: 4 },
  drivers: [memory],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, fd: yield* t.open("mirror_memory0") };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page + 4, 2);
      },
    },
    device: {
      on: { device: "mirror_memory0" },
      *run(t, s) {
        yield* t.engine(s.fd, "migrate", s.page);
        yield* t.engine(s.fd, "store32", s.page, 3);
      },
    },
  },

  *check(t, s) {
    const words = [yield* t.engine(s.fd, "load32", s.page), yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    return words.join() === "3,3,2" ? null : `an update is lost: ${words.join(", ")}`;
  },
});
