import { scenario } from "@faultline/checker";

/**
 * A page that a device had exclusively is shared by a fork, and parent and child write. Who keeps it? Whoever comes
 * second, if he finds himself alone with it; both have a copy where they come at once. Neither is entitled to it, and
 * each has all that the device had added ("mm: Device exclusive memory access", 2021).
 */
export default scenario({
  title: "who keeps the page when parent and child write?",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.deviceAtomicAdd32(0, page, 10);
    const frame = t.frameOf(page);
    const child = yield* t.fork();
    return { page, frame, child, ours: -1, theirs: -1 };
  },

  threads: {
    parent: {
      on: { cpu: 0 },
      *run(t, s) {
        s.ours = yield* t.atomicAdd32(s.page, 1);
      },
    },
    child: {
      on: { cpu: 1 },
      *run(t, s) {
        s.theirs = yield* t.inChild(s.child, (child) => child.atomicAdd32(s.page, 2));
      },
    },
  },

  *check(t, s) {
    if (s.ours !== 110 || s.theirs !== 110) return `what the device had made 110 was ${s.ours} for the parent and ${s.theirs} for the child`;
    const ours = { value: yield* t.load32(s.page), frame: t.frameOf(s.page) };
    const theirs = yield* t.inChild(s.child, function* (child) {
      return { value: yield* child.load32(s.page), frame: child.frameOf(s.page) };
    });
    if (ours.value !== 111 || theirs.value !== 112) return `the parent has ${ours.value}, the child ${theirs.value}`;
    return ours.frame === theirs.frame ? `both still have frame ${s.frame}` : null;
  },
});
