import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * Four pages that are one folio, of which everybody wants another: one is paged out, so the folio is split, while a
 * CPU writes to the next and a device takes a third exclusively (Documentation/mm/transhuge.rst, on splitting).
 */
export default scenario({
  title: "split of a large folio against CPU fault against device-exclusive access",
  machine: { cpus: 2, devices: 1, swapSlots: 16 },

  *setup(t) {
    t.k.m.thp.setSizeEnabled(2, "always");
    const mapped = yield* t.mmap(8);
    const pages = Math.ceil(mapped / 16384) * 16384;
    yield* t.store32(pages, 100);
    for (let i = 1; i < 4; i++) yield* t.store32(pages + i * 4096, 100 + i);
    yield* t.drainLruBatches();
    return { pages };
  },

  threads: {
    pageout: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.pages, 1, Madv.PAGEOUT);
      },
    },
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.pages + 4096, 1000);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.pages + 8192, 1000);
      },
    },
  },

  *check(t, s) {
    const expected = [100, 1101, 1102, 103];
    for (let i = 0; i < 4; i++) {
      const value = yield* t.load32(s.pages + i * 4096);
      if (value !== expected[i]) return `page ${i} has ${value} instead of ${expected[i]}`;
    }
    return null;
  },
});
