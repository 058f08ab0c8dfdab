import { scenario } from "@faultline/checker";

/** The device reads a page that nobody has touched, the page of zeros, while its driver moves it to the device's memory. */
export default scenario({
  title: "migration of an untouched page to a device against a load by the device",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    return { page: yield* t.mmap(1), read: -1 };
  },

  threads: {
    migrate: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    load: {
      on: { device: 0 },
      *run(t, s) {
        s.read = yield* t.deviceLoad32(0, s.page);
      },
    },
  },

  *check(t, s) {
    const error = yield* t.deviceStore32(0, s.page, 7);
    const words = [s.read, error, yield* t.load32(s.page)];
    return words.join() === "0,0,7" ? null : `the device read ${words[0]}, its store answered ${words[1]}, and the CPU reads ${words[2]}`;
  },
});
