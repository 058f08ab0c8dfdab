import { scenario } from "@faultline/checker";
import mirror from "./drivers/mirror.js";

/**
 * A process ends while a device reads its memory, and the file stays open (somebody else has it). The interval notifier is told
 * of all of the address space (MMU_NOTIFY_RELEASE): what the device keeps after that is memory of nobody's.
 */
export default scenario({
  title: "a driver's device fault against the exit of the process",
  machine: { cpus: 1 },
  drivers: [mirror],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const child = yield* t.fork();
    const fd = yield* t.inChild(child, (c) => c.open("mirror0"));
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
      on: { device: "mirror0" },
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
