import { scenario } from "@faultline/checker";

/**
 * What happens when device memory cannot come back? Not for want of a charge: a page that a device has counts in its cgroup
 * like any other, and takes its charge along when it comes back. So two CPUs get theirs at the cgroup's limit, without swap, and
 * nobody is killed for it.
 */
export default scenario({
  title: "two CPU faults for pages that a device has, at the limit of the cgroup",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page, 100);
    yield* t.store32(page + 4096, 200);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 2);
    t.limitMemory();
    return { page };
  },

  threads: {
    first: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    second: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page + 4096, 1);
      },
    },
  },

  *check(t, s) {
    const values = [yield* t.load32(s.page), yield* t.load32(s.page + 4096)];
    if (values[0] !== 101 || values[1] !== 201) return `the words are ${values.join(" and ")} instead of 101 and 201`;
    const { usage, max, events } = t.k.m.current!.memcg;
    if (usage > max) return `the cgroup has ${usage} pages, and may have ${max}`;
    return events.oom > 0 ? "the OOM killer was called" : null;
  },
});
