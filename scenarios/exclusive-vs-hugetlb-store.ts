import { scenario } from "@faultline/checker";
import { Errno } from "@faultline/kernel";

/**
 * A device asks for exclusive access to a huge page of hugetlb, which a CPU writes to, and which it has mirrored itself ("mm/gup:
 * reject FOLL_SPLIT_PMD with hugetlb VMAs", 2025): it is refused whenever it asks, and the huge page stays what it is.
 */
export default scenario({
  title: "device-exclusive access against a store to a huge page of hugetlb",
  machine: { cpus: 1, devices: 1, frames: 2048 },

  *setup(t) {
    yield* t.setHugePages(1);
    const page = yield* t.mmapHuge(1);
    yield* t.store32(page, 1);
    return { page, answer: 0 };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 7);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page + 4096, 8);
        s.answer = yield* t.makeExclusive(0, s.page, 1);
      },
    },
  },

  *check(t, s) {
    // Until 6.14 whatever went wrong was EBUSY.
    if (s.answer !== -Errno.EOPNOTSUPP && s.answer !== -Errno.EBUSY) return `make_device_exclusive() answers ${s.answer}`;
    const words = [yield* t.load32(s.page), yield* t.load32(s.page + 4096)];
    return words[0] === 7 && words[1] === 8 ? null : `the words are ${words.join(" and ")} instead of 7 and 8`;
  },
});
