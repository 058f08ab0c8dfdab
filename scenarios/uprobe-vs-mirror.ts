import { scenario } from "@faultline/checker";

/**
 * A probe comes and goes while a device mirrors the code for reading: the copy with the breakpoint, and the page of the file
 * behind it. The device has the page that CPUs have.
 */
export default scenario({
  title: "uprobe_register and unregister against hmm_range_fault",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const code = yield* t.mmapCode();
    yield* t.call(code);
    return { code };
  },

  threads: {
    probe: {
      on: { cpu: 0 },
      *run(t, s) {
        const probe = yield* t.uprobeRegister(s.code);
        // Else the page stays, for the batch refers to it.
        yield* t.drainLruBatches();
        yield* t.uprobeUnregister(probe);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceLoad32(0, s.code);
      },
    },
  },

  *check(t, s) {
    const ours = yield* t.load32(s.code);
    const theirs = yield* t.deviceLoad32(0, s.code);
    if (ours !== theirs) return `the device reads 0x${theirs.toString(16)}, and a CPU 0x${ours.toString(16)}`;
    return (yield* t.call(s.code)) ? "the breakpoint is still there" : null;
  },
});
