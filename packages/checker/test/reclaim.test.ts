import { expect, test } from "vitest";
import { explore, scenario } from "../src/index.js";

test("a page that was read ahead, and whose slot is free before anything maps it, is not written again", () => {
  const readAhead = scenario({
    title: "mmap in place of what is swapped out against reclaim",
    machine: { cpus: 3, devices: 1, swapSlots: 16 },
    *setup(t) {
      const addr = yield* t.mmap(2);
      yield* t.store32(addr, 1);
      yield* t.store32(addr + 4096, 1);
      yield* t.deviceFault(0, addr, 2, false);
      yield* t.drainLruBatches();
      return { addr };
    },
    threads: {
      cpu: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.reclaim(1);
          yield* t.store32(s.addr + 4, 104);
          yield* t.mmapFixed(s.addr + 4096, 1);
        },
      },
      reclaim: {
        on: { cpu: 2 },
        *run(t) {
          yield* t.reclaim(1);
        },
      },
    },
  });
  expect(explore(readAhead, { preemptions: 1 }).violation).toBeNull();
});
