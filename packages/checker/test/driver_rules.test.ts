import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { driver, FollFlag, HmmPfn, hmmRange, Madv, NotifyEvent, resolvePatches, type Atomic, type DeviceMirror, type Driver, type Kernel, type MaySleep, type MigrateVma, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { explore, replay, type Scenario, type ThreadApi } from "../src/index.js";
import mirror, { mirrorDriver, mirrorInvalidate, mirrorRelease } from "../../../scenarios/drivers/mirror.js";
import mirrorMemory from "../../../scenarios/drivers/mirror-memory.js";
import dmaVsMunmap from "../../../scenarios/dma-unmap-vs-munmap.js";
import { svaDriver, svaInvalidate, svaRelease } from "../../../scenarios/drivers/sva.js";
import vsSecondary from "../../../scenarios/secondary-tlb-vs-dontneed.js";
import vsDontneed from "../../../scenarios/driver-mirror-vs-dontneed.js";

const SCENARIOS = new URL("../../../scenarios/", import.meta.url);
const BROKEN = new URL("drivers/broken/", SCENARIOS);

interface Found {
  readonly scenario: string;
  readonly kind: string;
  readonly message: string;
}

const found = JSON.parse(readFileSync(new URL("found.json", BROKEN), "utf8")) as Readonly<Record<string, Found>>;

async function load<T>(url: URL): Promise<T> {
  return ((await import(fileURLToPath(url))) as { default: T }).default;
}

describe("a driver that breaks one rule of the notifiers' protocol", () => {
  test("stands in the list, each", () => {
    const files = readdirSync(BROKEN).filter((file) => file.endsWith(".ts"));
    expect(Object.keys(found).sort()).toEqual(files.map((file) => file.slice(0, -3)).sort());
  });

  test.each(Object.entries(found))("%s: the report says which", async (name, { scenario, kind, message }) => {
    const broken = await load<Driver>(new URL(`${name}.ts`, BROKEN));
    const race = await load<Scenario>(new URL(`${scenario}.ts`, SCENARIOS));
    const { violation } = explore(race, { drivers: [broken] });
    expect(violation).toMatchObject({ kind });
    expect(violation!.message).toContain(message);
    // And it is the same once more.
    expect(replay(race, violation!.decisions, { drivers: [broken] })?.message).toBe(violation!.message);
  });
});

describe("the last file is closed", () => {
  test("and a mirror is left", () => {
    const forgetful = mirrorDriver({
      *release(k, file) {
        yield* k.mmuNotifier.intervalRemove(k, (file.data as { notifier: never }).notifier);
      },
    });
    const { violation } = explore(vsDontneed, { drivers: [forgetful] });
    expect(violation).toMatchObject({ kind: "notifier-protocol" });
    expect(violation!.message).toMatch(/^mirror0 still maps frame \d+ at page 0x[\da-f]+ after its last file has been closed \(release\)$/);
  });

  test("but for one that is open still, all is well", () => {
    const { violation, complete } = explore(
      { ...(vsDontneed as Scenario), *setup(t) {
        yield* t.close(yield* t.open("mirror0"));
        return yield* vsDontneed.setup(t);
      } },
      { drivers: [mirrorDriver({ release: mirrorRelease })] },
    );
    expect(violation).toBeNull();
    expect(complete).toBe(true);
  });
});

describe("a device behind an IOMMU", () => {
  test("is found where what the IOMMU has cached is not flushed", () => {
    const unflushed: OverlayFactory = () => ({
      iommu: {
        *iotlbSync(): Atomic<void> {
          yield* [];
        },
      },
    });
    const { violation } = explore(dmaVsMunmap, { overlays: [unflushed] });
    expect(violation).toMatchObject({ kind: "freed-while-mapped" });
    expect(violation!.message).toMatch(/^frame \d+ is freed while the IOMMU of dma0 has it cached at IOVA 0x100000000$/);
  });

  test("cannot be mapped for by hmm_dma_map_alloc() before 6.16", () => {
    const overlays = resolvePatches({ release: "6.14", without: [] }) as readonly OverlayFactory[];
    const opened: Scenario<{ fd: number }> = {
      ...(dmaVsMunmap as unknown as Scenario<{ fd: number }>),
      *check(_t, { fd }) {
        yield* [];
        return fd === -95 ? null : `open() answers ${fd}`;
      },
    };
    expect(explore(opened as Scenario, { overlays }).violation).toBeNull();
    expect(explore(opened as Scenario).violation!.message).toMatch(/^open\(\) answers \d+$/);
  });
});

describe("a driver that shares the page table with its device", () => {
  const opened = vsSecondary as unknown as Scenario<{ fd: number }>;
  const both: Driver = svaDriver({
    archInvalidateSecondaryTlbs: svaInvalidate,
    release: svaRelease,
    *invalidateRangeEnd(): MaySleep<void> {
      yield* [];
    },
  });
  const answers = (releaseWanted: string): string | undefined => {
    const overlays = resolvePatches({ release: releaseWanted, without: [] }) as readonly OverlayFactory[];
    const asks: Scenario<{ fd: number }> = {
      ...opened,
      threads: { nobody: { on: { cpu: 0 }, *run() {} } },
      *check(_t, { fd }) {
        yield* [];
        return `open() answers ${fd < 0 ? fd : "a file"}`;
      },
    };
    return explore(asks, { overlays, drivers: [both] }).violation?.message;
  };

  test("hears of flushes, or of starts and ends", () => {
    expect(answers("7.3")).toBe("open() answers -22");
  });

  test("or of both, before 6.6", () => {
    expect(answers("6.1")).toBe("open() answers a file");
  });

  test.each(["6.18", "6.1"])("is told on %s", (name) => {
    const overlays = resolvePatches({ release: name, without: [] }) as readonly OverlayFactory[];
    expect(explore(vsSecondary as Scenario, { overlays })).toMatchObject({ violation: null, complete: true });
  });

  test("is not told by riscv between", () => {
    const overlays = resolvePatches({ release: "6.14", without: [] }) as readonly OverlayFactory[];
    expect(explore(vsSecondary as Scenario, { overlays }).violation).toMatchObject({ kind: "freed-while-mapped" });
  });
});

test("a driver may ignore what it does itself, and nothing else", () => {
  const ignores = mirrorDriver({
    *invalidate(k, own, range, seq) {
      return range.event === NotifyEvent.CLEAR ? true : yield* mirrorInvalidate(k, own, range, seq);
    },
  });
  expect(explore(vsDontneed as Scenario, { drivers: [ignores] }).violation).toMatchObject({ kind: "notifier-protocol" });
});

test("locks that are missing, and users of an address space that are left, are told", () => {
  const loads = (load32: NonNullable<Driver["operations"]>[string]): unknown => {
    const other = driver({ ...mirror, operations: { ...mirror.operations, load32 } });
    return explore(vsDontneed, { drivers: [other] }).violation;
  };
  expect(
    loads(function* (k, file, addr = 0) {
      const own = file.data as DeviceMirror;
      const range = hmmRange(own, addr / 4096, addr / 4096 + 1, HmmPfn.REQ_FAULT);
      range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, own.notifier);
      return yield* k.hmm.hmmRangeFault(k, range);
    }),
  ).toMatchObject({ kind: "lock-held", message: "device calls hmm_range_fault() without mmap_lock" });
  expect(
    loads(function* (k, file) {
      return (yield* k.fork.mmgetNotZero(k, (file.data as DeviceMirror).mm)) ? 0 : 1;
    }),
  ).toMatchObject({ kind: "leak", message: expect.stringMatching(/users, and had 1: mmput\(\) was not called/) as string });
});

test("the driver of docs/drivers.md copies a page of the device's own that a fork has shared before the device writes to it", () => {
  const shared: Scenario<{ page: number; fd: number; child: number }> = {
    title: "a device's store after a fork, against the child's",
    machine: { cpus: 1, devices: 0, devicePages: 4 },
    drivers: [mirrorMemory],
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      yield* t.drainLruBatches();
      const fd = yield* t.open("mirror_memory0");
      yield* t.engine(fd, "migrate", page);
      return { page, fd, child: yield* t.fork() };
    },
    threads: {
      device: {
        on: { device: "mirror_memory0" },
        *run(t, s) {
          yield* t.engine(s.fd, "store32", s.page, 2);
        },
      },
      child: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.inChild(s.child, (c) => c.store32(s.page + 4, 3));
        },
      },
    },
    *check(t, s) {
      const words: number[] = [];
      for (const addr of [s.page, s.page + 4]) words.push(yield* t.load32(addr), yield* t.inChild(s.child, (c) => c.load32(addr)));
      yield* t.exit(s.child);
      return words.join() === "2,1,0,3" ? null : `parent and child have ${words.join(", ")}`;
    },
  };
  expect(explore(shared, { preemptions: 1 })).toMatchObject({ violation: null, complete: true });
});

describe("pages that a driver pins for as long as its file is open", () => {
  const WAYS = {
    keeps: function* (): MaySleep<void> {},
    unpins: (k: Kernel, page: number) => k.gupPin.unpinUserPage(k, page, true, "buffer"),
    puts: (k: Kernel, page: number) => k.swap.folioPut(k, page, "buffer"),
    *twice(k: Kernel, page: number): MaySleep<void> {
      for (let i = 0; i < 2; i++) yield* k.gupPin.unpinUserPage(k, page, true, "buffer");
    },
  };
  const said = (way: keyof typeof WAYS): string | undefined => {
    const pins = driver({
      name: "pins",
      devices: [{ name: "pins0" }],
      file: {
        *open(_k, file) {
          yield* [];
          file.data = [];
          return 0;
        },
        *ioctl(k, file, _cmd, addr) {
          const { mm } = k.m.current!;
          if (!mm!.mmapLock.tryRead()) yield* mm!.mmapLock.read();
          const n = yield* k.gup.pinUserPages(k, addr / 4096, 1, FollFlag.WRITE | FollFlag.LONGTERM, "buffer", file.data as number[]);
          if (!mm!.mmapLock.tryUnlock()) yield* mm!.mmapLock.unlock();
          return n;
        },
        *release(k, file) {
          for (const page of file.data as number[]) yield* WAYS[way](k, page);
        },
      },
    });
    const race: Scenario<{ page: number; fd: number }> = {
      title: "a pin against MADV_DONTNEED",
      machine: { cpus: 2, devices: 0 },
      drivers: [pins],
      *setup(t) {
        const page = yield* t.mmap(1);
        yield* t.store32(page, 1);
        yield* t.drainLruBatches();
        return { page, fd: yield* t.open("pins0") };
      },
      threads: {
        pin: {
          on: { cpu: 0 },
          *run(t, s) {
            yield* t.ioctl(s.fd, 1, s.page);
          },
        },
        dontneed: {
          on: { cpu: 1 },
          *run(t, s) {
            yield* t.madvise(s.page, 1, Madv.DONTNEED);
          },
        },
      },
    };
    const { violation, complete } = explore(race, { preemptions: 1 });
    expect(violation !== null || complete).toBe(true);
    return violation?.message;
  };

  test("are no leak, unless closing it keeps them", () => {
    expect(said("unpins")).toBeUndefined();
    expect(said("keeps")).toMatch(/^frame \d+ is still held \(pin#\d+:buffer\)$/);
  });

  test("are unpinned, not put, and once", () => {
    expect(said("puts")).toMatch(/:buffer dropped a reference to page \d+ that it did not hold$/);
    expect(said("twice")).toMatch(/:buffer unpinned page \d+, which it had not pinned$/);
  });
});

describe("memory of a device", () => {
  /** What comes of a move to the device whose driver differs from that of docs/drivers.md. */
  const moved = (changes: Partial<Driver>): string | undefined => {
    const race: Scenario<{ page: number; fd: number; moved: number }> = {
      title: "a move to a device and back",
      machine: { cpus: 1, devices: 0, devicePages: 2 },
      drivers: [{ ...mirrorMemory, ...changes }],
      *setup(t) {
        const page = yield* t.mmap(1);
        yield* t.store32(page, 1);
        yield* t.drainLruBatches();
        return { page, fd: yield* t.open("mirror_memory0"), moved: 0 };
      },
      threads: {
        device: {
          on: { device: "mirror_memory0" },
          *run(t, s) {
            s.moved = yield* t.engine(s.fd, "migrate", s.page);
          },
        },
      },
      *check(t, s) {
        const back = yield* t.load32(s.page);
        return back === 1 ? null : `it comes back as ${back}`;
      },
    };
    return explore(race).violation?.message.split("\n", 1)[0];
  };
  /** The driver's move, with something done to what it hands to the kernel. */
  const meddling = (with_: (k: Kernel, args: MigrateVma) => MaySleep<void>, when: "before" | "after"): Partial<Driver> => ({
    operations: {
      migrate: (k, file, addr) =>
        mirrorMemory.operations!["migrate"]!(
          {
            ...k,
            migrateDevice: {
              ...k.migrateDevice,
              *migrateVmaPages(kernel, args) {
                if (when === "before") yield* with_(k, args);
                yield* k.migrateDevice.migrateVmaPages(kernel, args);
              },
              *migrateVmaFinalize(kernel, args) {
                yield* k.migrateDevice.migrateVmaFinalize(kernel, args);
                if (when === "after") yield* with_(k, args);
              },
            },
          },
          file,
          addr,
        ),
    },
  });

  test("goes where the driver says, and nowhere without MIGRATE_PFN_VALID", () => {
    expect(moved({})).toBeUndefined();
    const unsaid = meddling(function* (_k, { dstFlags }) {
      yield* [];
      dstFlags[0] = 0;
    }, "before");
    expect(moved(unsaid)).toMatch(/^the folio lock of frame \d+ is still held$/);
  });

  test("is not given back twice: the reference is told, and not what comes of it", () => {
    const twice = meddling((k, { dst }) => k.swap.folioPut(k, dst[0]!, "alloc"), "after");
    expect(moved(twice)).toMatch(/alloc dropped a reference to page \d+ that it did not hold$/);
    const { memory } = mirrorMemory;
    const freed = moved({
      memory: {
        ...memory,
        *folioFree(k, folio, pages) {
          for (let i = 0; i < 2; i++) yield* k.deviceMemory.deviceFolioFree(k, folio, pages);
        },
      },
    });
    expect(freed).toMatch(/^RangeError: frame \d+, memory of a device, is freed for the second time$/);
  });

  test("that no CPU can address must come back", () => {
    expect(() => moved({ memory: {} })).toThrow("the memory of device mirror_memory0 is device-private: its driver must have memory.migrateToRam");
  });
});

test("what hmm_range_fault() did not say since mmu_interval_read_begin() is no use to enter", () => {
  const enters = (flags: number, to: number, early: boolean): string | undefined => {
    const own = mirrorDriver({
      *fault(k, { mm, notifier, mutex }, vpn) {
        const mirrored = k.m.mirrors[0]!;
        const range = hmmRange(mirrored, vpn, vpn + 1, flags);
        range.notifierSeq = early ? notifier.invalidateSeq : yield* k.mmuNotifier.intervalReadBegin(k, notifier);
        if (!(yield* k.fork.mmgetNotZero(k, mm))) return -14;
        if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
        const error = yield* k.hmm.hmmRangeFault(k, range);
        if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
        if (early) range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, notifier);
        if (!mutex.tryLock()) yield* mutex.lock();
        const stale = yield* k.mmuNotifier.intervalReadRetry(k, notifier, range.notifierSeq);
        if (error === 0 && !stale) yield* k.device.deviceMap(k, mirrored, vpn + to, { page: range.pages[0]!, write: false, atomic: false });
        if (!mutex.tryUnlock()) yield* mutex.unlock();
        yield* k.fork.mmput(k, mm);
        return -14;
      },
    });
    return explore(vsDontneed, { drivers: [own], ignore: ["outcome"] }).violation?.message;
  };
  const UNREAD = "nobody has read so, with hmm_range_fault() say, since mmu_interval_read_begin()";
  expect(enters(HmmPfn.REQ_FAULT, 0, false)).toBeUndefined();
  for (const message of [enters(HmmPfn.REQ_FAULT, 0, true), enters(0, 0, false), enters(HmmPfn.REQ_FAULT, 1, false)]) {
    expect(message).toMatch(/^device enters frame \d+ readable at page 0x[\da-f]+ in the table of mirror0, but the CPU's entry is empty: /);
    expect(message).toContain(UNREAD);
  }
});

test("what would break the kernel's books is refused, and who did it is told", () => {
  const said = (parts: Parameters<typeof mirrorDriver>[0]): string | undefined => explore(vsDontneed, { drivers: [mirrorDriver(parts)] }).violation?.message.split("\n", 1)[0];
  expect(
    said({
      *release(k, file) {
        yield* mirrorRelease(k, file);
        yield* k.device.mirrorFree(k, file.data as DeviceMirror);
      },
    }),
  ).toBe("RangeError: a mirror of mirror0 is given up for the second time");
  expect(
    said({
      *release(k, file) {
        yield* k.mmuNotifier.intervalRemove(k, (file.data as DeviceMirror).notifier);
        yield* mirrorRelease(k, file);
      },
    }),
  ).toBe("RangeError: the interval notifier of pages 0x0 to 0x3ffffff is not subscribed");
  expect(
    said({
      *fault(k, own) {
        yield* k.mmuNotifier.intervalInsert(k, own.notifier);
        return 0;
      },
    }),
  ).toBe("RangeError: the interval notifier of pages 0x0 to 0x3ffffff is subscribed already");
  expect(
    said({
      *fault(k, _own, vpn) {
        return yield* k.uaccess.copyFromUser(k, vpn * 4096, new Uint8Array(4));
      },
    }),
  ).toBe("RangeError: mirror0 is no CPU, which user memory is for: a device reads and writes what hmm_range_fault() or a pin has given it");
});

test("a callback that says that it would have to wait, and may", () => {
  const refuses = mirrorDriver({
    *invalidate() {
      yield* [];
      return false;
    },
  });
  expect(explore(vsDontneed, { drivers: [refuses] }).violation).toMatchObject({
    kind: "notifier-protocol",
    message: "the invalidate callback of mirror0 has returned false for a range that is blockable (mmu_notifier_range_blockable()): the entries change all the same",
  });
});

describe("a descriptor that is closed meanwhile", () => {
  const DEVICE = { device: "mirror0" } as const;
  /** What `act` gets where another thread closes the descriptor at any time. */
  const results = (own: Driver, on: { readonly cpu: number } | typeof DEVICE, act: (t: ThreadApi, fd: number) => MaySleep<number>): { readonly got: Set<number>; readonly violation: unknown } => {
    const got = new Set<number>();
    const race: Scenario<{ fd: number; result: number }> = {
      title: "a close against a call",
      machine: { cpus: 2, devices: 0 },
      drivers: [own],
      *setup(t) {
        return { fd: yield* t.open("mirror0"), result: 1 };
      },
      threads: {
        close: {
          on: { cpu: 0 },
          *run(t, s) {
            yield* t.close(s.fd);
          },
        },
        other: {
          on,
          *run(t, s) {
            s.result = yield* act(t, s.fd);
          },
        },
      },
      *check(_t, s) {
        yield* [];
        got.add(s.result);
        return null;
      },
    };
    const { violation, complete } = explore(race);
    expect(violation !== null || complete).toBe(true);
    return { got, violation };
  };
  const released = driver({
    ...mirror,
    file: {
      ...mirror.file,
      *ioctl(k, file) {
        const own = file.data as DeviceMirror;
        for (let i = 0; i < 3; i++) yield* k.device.deviceLookup(k, own, i);
        return k.m.mirrors.includes(own) ? 0 : 7;
      },
    },
    operations: { ioctl: (k, file) => released.file.ioctl!(k, file, 0, 0) },
  });

  test("answers -EBADF, or the call ends before the file is released", () => {
    expect(results(released, { cpu: 1 }, (t, fd) => t.ioctl(fd, 1, 0))).toEqual({ got: new Set([0, -9]), violation: null });
    expect(results(released, { cpu: 1 }, (t, fd) => t.close(fd))).toEqual({ got: new Set([0, -9]), violation: null });
  });

  test("is not waited for by release where a device works by itself", () => {
    expect(results(released, DEVICE, (t, fd) => t.engine(fd, "ioctl")).violation).toMatchObject({
      kind: "engine",
      message: expect.stringMatching(/^RangeError: the table of mirror0 is read after its driver has given the mirror up: use after free$/m) as string,
    });
  });
});

test("what is said of a device that is not there, or cannot do what is asked", () => {
  const complaint = (act: (t: ThreadApi) => MaySleep<unknown>) => (): unknown =>
    explore({ title: "asks for what is not there", drivers: [mirror], setup: act, threads: { nobody: { on: { cpu: 0 }, *run() {} } } });
  expect(complaint((t) => t.open("nothing"))).toThrow("open: there is no device 'nothing': there are mirror0");
  expect(complaint((t) => t.close(3))).toThrow("there is no open file 3");
  expect(
    complaint(function* (t) {
      yield* t.engine(yield* t.open("mirror0"), "dance");
    }),
  ).toThrow("engine: driver mirror has no operation 'dance': there are load32, store32");
  const nan = driver({ ...mirror, operations: { *load32() { return NaN; } } });
  expect(() => explore(vsDontneed as Scenario, { drivers: [nan] })).toThrow("engine: operation 'load32' of driver mirror returned NaN: it must be a whole number");
});

test("the same driver twice is a mistake, another of its name takes its place", () => {
  const other = driver({ name: "other", devices: [{ name: "mirror0" }], file: {} });
  expect(() => explore(vsDontneed as Scenario, { drivers: [other] })).toThrow("there is a device mirror0 already");
});
