import { scenario } from "@faultline/checker";

/** A probe comes and goes while another CPU executes the code: it hits the breakpoint or does not, and meets none that nobody knows. */
export default scenario({
  title: "uprobe_register and unregister against a call",
  machine: { cpus: 2, devices: 0 },

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
        yield* t.uprobeUnregister(probe);
      },
    },
    call: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.call(s.code);
      },
    },
  },

  *check(t, s) {
    return (yield* t.call(s.code)) ? "the breakpoint is still there" : null;
  },
});
