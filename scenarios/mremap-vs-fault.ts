import { scenario } from "@faultline/checker";

/**
 * A thread stores to a page while another moves it: the store comes before, and moves along, or it gets a signal. The
 * old address must have left all TLBs before anybody else can have the page ("mremap: properly flush TLB before
 * releasing the page", 2018).
 */
export default scenario({
  title: "CPU store against mremap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const room = yield* t.mmap(2);
    const page = room + 4096;
    yield* t.store32(page, 100);
    yield* t.munmap(room, 1);
    return { page, to: room, moved: 0, stored: false, after: 0 };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        s.stored = yield* t.tryStore32(s.page, 7);
      },
    },
    mremap: {
      on: { cpu: 1 },
      *run(t, s) {
        s.moved = yield* t.mremap(s.page, 1, 1, s.to);
        s.after = yield* t.load32(s.to);
      },
    },
  },

  *check(t, s) {
    if (s.moved !== s.to) return `mremap() answers ${s.moved}`;
    const value = yield* t.load32(s.to);
    const expected = s.stored ? 7 : 100;
    if (value !== expected) return `the word is ${value} instead of ${expected}`;
    if (s.after !== value) return `mremap() has returned, and the word changes from ${s.after} to ${value}`;
    return (yield* t.tryLoad32(s.page)) === null ? null : "the old address can be read";
  },
});
