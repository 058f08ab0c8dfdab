import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";
import sva from "./drivers/sva.js";

/** A device that walks the CPU's page table writes to a page that is being swapped out: the flush of CPUs is put off, that of devices is not. */
export default scenario({
  title: "a device that shares the page table against MADV_PAGEOUT",
  machine: { cpus: 1, swapSlots: 2 },
  drivers: [sva],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    const fd = yield* t.open("sva0");
    yield* t.engine(fd, "store32", page + 4, 1);
    yield* t.drainLruBatches();
    return { page, fd };
  },

  threads: {
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
    device: {
      on: { device: "sva0" },
      *run(t, s) {
        yield* t.engine(s.fd, "store32", s.page + 4, 2);
      },
    },
  },

  *check(t, s) {
    const words = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    return words.join() === "1,2" ? null : `an update is lost: ${words.join(", ")}`;
  },
});
