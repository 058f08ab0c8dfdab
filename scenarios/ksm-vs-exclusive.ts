import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * ksmd merges two pages while a device takes one of them exclusively: what a device has it leaves alone ("mm/ksm: handle
 * device-exclusive entries correctly in write_protect_page()", 2025), and what is merged the device gets a copy of.
 */
export default scenario({
  title: "ksmd merging two pages against device-exclusive access",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const pages = yield* t.mmap(2);
    yield* t.store32(pages, 7);
    yield* t.store32(pages + 4096, 7);
    yield* t.madvise(pages, 2, Madv.MERGEABLE);
    yield* t.ksmScan();
    // The first page waits in the unstable tree for one like it.
    yield* t.ksmScan(1);
    return { pages };
  },

  threads: {
    ksmd: {
      on: { cpu: 0 },
      *run(t) {
        yield* t.ksmScan(1);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.pages + 4096, 1);
      },
    },
  },

  *check(t, s) {
    const [first, second] = [yield* t.load32(s.pages), yield* t.load32(s.pages + 4096)];
    return first === 7 && second === 8 ? null : `the words are ${first} and ${second} instead of 7 and 8`;
  },
});
