import { scenario } from "@faultline/checker";
import dma from "./drivers/dma.js";

/** A device behind an IOMMU reads a page that is being unmapped: when its frame is freed, no I/O virtual address leads there any more. */
export default scenario({
  title: "DMA by hmm_dma_map_pfn() against munmap()",
  machine: { cpus: 1 },
  drivers: [dma],

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    // Kernels before 6.16 have no hmm_dma_map_alloc(), and the driver says so: -95.
    const fd = yield* t.open("dma0");
    if (fd < 0) return { page, fd, read: 2 };
    yield* t.engine(fd, "window", page);
    yield* t.engine(fd, "store32", page + 4, 2);
    return { page, fd, read: 0 };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    device: {
      on: { device: "dma0" },
      *run(t, s) {
        if (s.fd >= 0) s.read = yield* t.engine(s.fd, "load32", s.page + 4);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.read === 2 || s.read === -14 ? null : `the device has read ${s.read}`;
  },
});
