import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";
import sva from "./drivers/sva.js";

/**
 * A device that walks the CPU's page table itself has cached a page that is being thrown away. Nobody tells it ahead of time: it is
 * flushed when the CPUs are (arch_invalidate_secondary_tlbs()), before the page is freed. On riscv that is so since 6.15.
 */
export default scenario({
  title: "a device that shares the page table against MADV_DONTNEED",
  machine: { cpus: 1 },
  drivers: [sva],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, fd: yield* t.open("sva0"), stored: 0 };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    device: {
      on: { device: "sva0" },
      *run(t, s) {
        s.stored = yield* t.engine(s.fd, "store32", s.page + 4, 2);
      },
    },
  },

  *check(t, s) {
    const words = [s.stored, yield* t.engine(s.fd, "load32", s.page), yield* t.load32(s.page + 4)];
    return words[0] === 0 && words[1] === 0 && (words[2] === 2 || words[2] === 0) ? null : `the device has done ${words.join(", ")}`;
  },
});
