import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * Who hits a breakpoint that nobody wants any more puts the instruction back, while a device takes the page exclusively and
 * writes to it: what it has written must not be lost with a copy of the page ("kernel/events/uprobes: handle device-exclusive
 * entries correctly in __replace_page()", 2025).
 */
export default scenario({
  title: "a breakpoint that goes against device-exclusive access",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const code = yield* t.mmapCode();
    const probe = yield* t.uprobeRegister(code);
    yield* t.uprobeUnwant(probe);
    // From here on a device may have the page.
    yield* t.mprotect(code, 1, Prot.READ | Prot.WRITE | Prot.EXEC);
    yield* t.drainLruBatches();
    return { code, expected: 0 };
  },

  threads: {
    call: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.call(s.code);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(0, s.code + 8, 10)) >= 0) s.expected = 10;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.code + 8);
    if (value !== s.expected) return `an update is lost: the word is ${value} instead of ${s.expected}`;
    return (yield* t.call(s.code)) ? "the breakpoint is still there" : null;
  },
});
