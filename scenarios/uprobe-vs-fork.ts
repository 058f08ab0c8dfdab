import { scenario } from "@faultline/checker";

/** Code is probed while its process forks: then both have the breakpoint, for fork and registration wait for each other. */
export default scenario({
  title: "uprobe_register against fork",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const code = yield* t.mmapCode();
    // It was probed before, so that its mapping has an anon_vma, and fork looks at all of it.
    yield* t.uprobeUnregister(yield* t.uprobeRegister(code));
    return { code, probe: 0, child: 0 };
  },

  threads: {
    register: {
      on: { cpu: 0 },
      *run(t, s) {
        s.probe = yield* t.uprobeRegister(s.code);
      },
    },
    fork: {
      on: { cpu: 1 },
      *run(t, s) {
        s.child = yield* t.fork();
      },
    },
  },

  *check(t, s) {
    if (!(yield* t.call(s.code))) return "the parent has no breakpoint";
    if (!(yield* t.inChild(s.child, (child) => child.call(s.code)))) return "the child has no breakpoint";
    const hits = yield* t.uprobeHits(s.probe);
    if (hits !== 2) return `the probe was hit ${hits} times instead of 2`;
    yield* t.uprobeUnregister(s.probe);
    if (yield* t.call(s.code)) return "the parent's breakpoint is still there";
    return (yield* t.inChild(s.child, (child) => child.call(s.code))) ? "the child's breakpoint is still there" : null;
  },
});
