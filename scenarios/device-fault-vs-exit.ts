import { scenario } from "@faultline/checker";

/**
 * A device reads the memory of a process that ends, through a file that somebody else has open. The driver has a reference to the address space
 * while it asks for pages (mmget_not_zero()), and where that is the last, the address space is torn down by who drops it: the driver.
 */
export default scenario({
  title: "a device fault against the exit of the process",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const child = yield* t.fork();
    const fd = yield* t.inChild(child, (c) => c.open("hmm_dmirror0"));
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
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.engine(s.fd, "load32", s.page);
      },
    },
  },

  *check(t, s) {
    yield* [];
    if (t.k.m.mms.some(({ id }) => id === s.child)) return "the address space is still there";
    return s.read === 1 || s.read === -14 ? null : `the device has read ${s.read}`;
  },
});
