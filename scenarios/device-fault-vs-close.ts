import { scenario } from "@faultline/checker";

/**
 * A child has a page in the memory of a device, which its parent has brought there before the fork, and wants it back while the parent closes the
 * file: what is in the device's memory comes back first (dmirror_fops_release()), and either of the two brings this.
 */
export default scenario({
  title: "a child's fault on a device's page against the close of the parent's file",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const fd = yield* t.open("hmm_dmirror0");
    yield* t.drainLruBatches();
    yield* t.engine(fd, "migrateToDevice", page, 1);
    const child = yield* t.fork();
    return { page, fd, child };
  },

  threads: {
    close: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.close(s.fd);
      },
    },
    child: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.inChild(s.child, (c) => c.store32(s.page, 2));
      },
    },
  },

  *check(t, s) {
    const words = [yield* t.load32(s.page), yield* t.inChild(s.child, (c) => c.load32(s.page))];
    yield* t.exit(s.child);
    return words.join() === "1,2" ? null : `parent and child have ${words.join(", ")}`;
  },
});
