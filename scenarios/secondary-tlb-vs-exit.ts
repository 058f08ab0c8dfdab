import { scenario } from "@faultline/checker";
import sva from "./drivers/sva.js";

/** A process ends while a device walks its page table: after release() it does not any more, and nothing that it had cached is left. */
export default scenario({
  title: "a device that shares the page table against the exit of the process",
  machine: { cpus: 1 },
  drivers: [sva],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const child = yield* t.fork();
    const fd = yield* t.inChild(child, (c) => c.open("sva0"));
    yield* t.engine(fd, "load32", page);
    yield* t.drainLruBatches();
    return { page, child, fd, read: 0 };
  },

  threads: {
    exit: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.exit(s.child);
      },
    },
    device: {
      on: { device: "sva0" },
      *run(t, s) {
        s.read = yield* t.engine(s.fd, "load32", s.page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.read === 1 || s.read === -14 ? null : `the device has read ${s.read}`;
  },
});
