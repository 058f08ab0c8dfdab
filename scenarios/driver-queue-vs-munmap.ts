import { scenario } from "@faultline/checker";
import queue from "./drivers/queue.js";

/** A store is queued for a device, and the memory goes before the device comes to it, or after: it is done, or fails, and nobody's memory is written to. */
export default scenario({
  title: "what is queued for a device against munmap()",
  machine: { cpus: 2 },
  drivers: [queue],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, fd: yield* t.open("queue0") };
  },

  threads: {
    submit: {
      on: { cpu: 0 },
      *run(t, s) {
        const fence = yield* t.engine(s.fd, "submit", s.page, 2);
        yield* t.engine(s.fd, "wait", fence);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },
});
