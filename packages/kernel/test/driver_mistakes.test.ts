import { expect, test } from "vitest";
import {
  DeviceMirror,
  driver,
  FollFlag,
  hmmRange,
  MemoryType,
  migrateArrays,
  MigratePfn,
  MigrateVmaSelect,
  NO_PAGE,
  SWITCH,
  VM,
  type Device,
  type Kernel,
  type MaySleep,
  type MigrateVma,
  type Mm,
} from "../src/driver.js";
import { makeKernel, runTask } from "./harness.js";

/** What a mistake is made with: a device behind an IOMMU, with memory of its own, and a page of the process. */
interface Scene {
  readonly k: Kernel;
  readonly mm: Mm;
  readonly device: Device;
  /** One without memory. */
  readonly bare: Device;
  /** One with an engine. */
  readonly jobs: Device;
  readonly vpn: number;
  /** A page that moves to the device as it should, but for what `dst` gives, and what is done twice. */
  move(dst?: (src: number) => MaySleep<number>, finalize?: number): MaySleep<number>;
}

/** The message with which the kernel refuses; "" where it does not. Frames are named "N". */
function refusal(mistake: (scene: Scene) => MaySleep<unknown>, fault: MaySleep<number> | null = null): string {
  const k = makeKernel({ devicePages: 4 });
  const [device, bare] = k.device.registerDriver(
    k,
    driver({
      name: "own",
      devices: [{ name: "own0", memory: MemoryType.DEVICE_PRIVATE, iommu: true }, { name: "own1" }],
      file: {},
      *invalidate() {
        yield* [];
        return true;
      },
      memory: { migrateToRam: () => fault! },
    }),
  );
  const other = driver({
    name: "jobs",
    devices: [{ name: "jobs0" }],
    file: {},
    *execute() {
      yield* [];
    },
  });
  const [jobs] = k.device.registerDriver(k, other);
  const scene = (mm: Mm, vpn: number): Scene => ({
    k,
    mm,
    device: device!,
    bare: bare!,
    jobs: jobs!,
    vpn,
    *move(dst = () => k.deviceMemory.deviceAllocFolio(k, device!, 0), finalize = 1) {
      const vma = mm.vmaAt(vpn)!;
      const args: MigrateVma = { ...migrateArrays(1), vma, startVpn: vpn, endVpn: vpn + 1, select: MigrateVmaSelect.SYSTEM, owner: device!, faultPage: NO_PAGE };
      yield* mm.mmapLock.read();
      yield* k.migrateDevice.migrateVmaSetup(k, args);
      args.dst[0] = yield* dst(args.src[0]!);
      args.dstFlags[0] = MigratePfn.VALID;
      yield* k.migrateDevice.migrateVmaPages(k, args);
      for (let i = 0; i < finalize; i++) yield* k.migrateDevice.migrateVmaFinalize(k, args);
      yield* mm.mmapLock.unlock();
      return args.cpages;
    },
  });
  try {
    runTask(k, function* (mm) {
      const addr = yield* k.mmap.doMmap(k, mm, 0, 4096, VM.READ | VM.WRITE, 0x22, null, 0);
      yield* k.uaccess.putUser32(k, addr, 1);
      yield* k.swap.lruAddDrainAll(k);
      yield* mistake(scene(mm, addr / 4096));
    });
  } catch (error) {
    return String(error).replaceAll(/\bframe \d+/g, "frame N");
  }
  return "";
}

/** What is read again by a CPU after it has moved to the device. */
function* readBack({ k, vpn, move }: Scene): MaySleep<void> {
  yield* move();
  yield* k.uaccess.getUser32(k, vpn * 4096);
}

function* returning(result: number): MaySleep<number> {
  yield SWITCH;
  return result;
}

test("a migration goes where its driver has allocated, and ends once", () => {
  expect(refusal(({ move }) => move())).toBe("");
  expect(refusal(({ move }) => move(() => returning(NO_PAGE)))).toBe("");
  expect([
    refusal(({ move }) => move((src) => returning(src))),
    refusal(({ move }) => move(() => returning(1e9))),
    refusal(({ k, move }) => move(() => k.pageAlloc.allocPage(k, 0))),
    refusal(({ move }) => move(undefined, 2)),
    refusal(readBack, returning(-12)),
    refusal(readBack, returning(NaN)),
  ]).toMatchInlineSnapshot(`
    [
      "RangeError: migrate_vma_pages() is to move page 0 of the range to frame N, which is in use",
      "RangeError: migrate_vma_pages() is to move page 0 of the range to frame N, which is no frame",
      "RangeError: migrate_vma_pages() is to move page 0 of the range to frame N, which is not locked",
      "RangeError: migrate_vma_finalize() finds frame N unlocked: the migration has been finalized before, or somebody else has unlocked it",
      "RangeError: memory.migrateToRam() of driver own returned -12: it must be VmFault bits, or 0",
      "RangeError: memory.migrateToRam() of driver own returned NaN: it must be VmFault bits, or 0",
    ]
  `);
});

test("memory of a device is that of one that has any", () => {
  expect([
    refusal(({ k, bare }) => k.deviceMemory.deviceAllocFolio(k, bare, 0)),
    refusal(({ k, device }) => k.deviceMemory.deviceAllocFolio(k, device, 3)),
    refusal(({ k }) => k.deviceMemory.deviceCopyPage(k, NO_PAGE, 5)),
    refusal(({ k }) => k.deviceMemory.deviceCopyPage(k, 5, 1.5)),
  ]).toMatchInlineSnapshot(`
    [
      "RangeError: device own1 has no memory of its own",
      "RangeError: memory of a device comes in folios of order 0 or 9, not 3",
      "RangeError: -1 is no frame that could be copied",
      "RangeError: 1.5 is no frame that could be copied",
    ]
  `);
});

test("addresses for DMA are given back once, with nothing mapped there", () => {
  const twice = function* ({ k, device }: Scene): MaySleep<void> {
    const others = yield* k.hmmDma.hmmDmaMapAlloc(k, device, 2);
    const map = yield* k.hmmDma.hmmDmaMapAlloc(k, device, 2);
    yield* k.hmmDma.hmmDmaMapFree(k, device, map!);
    // Those are still there.
    expect(device.iommu!.allocated).toEqual([others!.state]);
    yield* k.hmmDma.hmmDmaMapFree(k, device, map!);
  };
  const mapped = function* ({ k, device }: Scene): MaySleep<void> {
    const map = (yield* k.hmmDma.hmmDmaMapAlloc(k, device, 2))!;
    yield* k.iommu.dmaIovaLink(k, device, map.state!.iova + 1, 7, true);
    yield* k.hmmDma.hmmDmaMapFree(k, device, map);
  };
  const beyond = function* ({ k, device }: Scene): MaySleep<void> {
    const map = (yield* k.hmmDma.hmmDmaMapAlloc(k, device, 2))!;
    yield* k.hmmDma.hmmDmaMapPfn(k, device, map, 2);
  };
  expect([refusal(twice), refusal(mapped), refusal(beyond), refusal(({ k, device }) => k.hmmDma.hmmDmaMapAlloc(k, device, 0))]).toMatchInlineSnapshot(`
    [
      "RangeError: I/O virtual addresses of own0 from 0x100002000, 2 pages, are freed for the second time",
      "RangeError: I/O virtual addresses of own0 from 0x100000000, 2 pages, are freed while 0x100001000 maps frame N: hmm_dma_unmap_pfn() comes first",
      "RangeError: a map of 2 pages for DMA has no page 2",
      "RangeError: hmm_dma_map_alloc() is asked for 0 pages",
    ]
  `);
});

test("a mirror hears of what changes, and is asked for pages", () => {
  const unheard = function* ({ k, mm, jobs }: Scene): MaySleep<void> {
    yield* [];
    new DeviceMirror(k, jobs, mm);
  };
  const backwards = function* ({ k, mm, device }: Scene): MaySleep<void> {
    yield* [];
    hmmRange(new DeviceMirror(k, device, mm), 7, 7, 0);
  };
  const says = (result: boolean): string[] => {
    let log: readonly string[] = [];
    const callback = function* ({ k, mm, device, vpn }: Scene): MaySleep<void> {
      const mirror = new DeviceMirror(k, device, mm, {
        *invalidate(kernel, _range, seq) {
          yield* [];
          kernel.mmuNotifier.intervalSetSeq(kernel, mirror.notifier, seq);
          return result;
        },
      });
      yield* k.mmuNotifier.intervalInsert(k, mirror.notifier);
      yield* k.madvise.doMadvise(k, mm, vpn * 4096, 4096, 4);
      yield* k.mmuNotifier.intervalRemove(k, mirror.notifier);
      log = k.m.dmesg.lines.map((line) => line.replace(/^\[.*?\] /, ""));
    };
    expect(refusal(callback)).toBe("");
    return [...log];
  };
  expect([
    refusal(unheard),
    refusal(backwards),
    ...says(true),
    ...says(false),
  ]).toMatchInlineSnapshot(`
    [
      "RangeError: driver jobs has a mirror and no invalidate(), by which it would hear of what changes",
      "RangeError: a range for hmm_range_fault() from page 7 to page 7",
      "WARNING: mn_itree_invalidate: an invalidate callback has returned false for a range that is blockable",
    ]
  `);
});

test("an open() that returns a number is refused", () => {
  const k = makeKernel();
  const [device] = k.device.registerDriver(k, driver({ name: "own", devices: [{ name: "own0" }], file: { open: () => returning(5) } }));
  expect(runTask(k, () => k.device.openDevice(k, device!, 2))).toBe(-22);
  expect(device!.opened).toBe(0);
  expect(k.m.dmesg.lines.join("\n")).toMatch(/WARNING: do_dentry_open: open\(\) of driver own has returned 5$/);
});

test("what is let go is had, and what is waited for is queued", () => {
  const put = function* ({ k }: Scene): MaySleep<void> {
    const page = yield* k.pageAlloc.allocPage(k, 0);
    for (let i = 0; i < 2; i++) yield* k.swap.folioPut(k, page, "alloc");
  };
  const unpin = function* ({ k, mm, vpn }: Scene): MaySleep<void> {
    const pages: number[] = [];
    yield* mm.mmapLock.read();
    yield* k.gup.pinUserPages(k, vpn, 1, FollFlag.WRITE, "own", pages);
    yield* mm.mmapLock.unlock();
    for (let i = 0; i < 2; i++) yield* k.gupPin.unpinUserPage(k, pages[0]!, true, "own");
  };
  const mirrored = function* ({ k, mm, device }: Scene): MaySleep<void> {
    const mirror = new DeviceMirror(k, device, mm);
    for (let i = 0; i < 2; i++) yield* k.device.mirrorFree(k, mirror);
  };
  expect([
    refusal(put),
    refusal(unpin),
    refusal(mirrored),
    refusal(({ k, device }) => k.device.queueJob(k, device, {})),
    refusal(({ k, device }) => k.device.waitJob(k, device, 1)),
    refusal(({ k, jobs }) => k.device.waitJob(k, jobs, 1)),
  ]).toMatchInlineSnapshot(`
    [
      "RangeError: a reference to frame N is let go that nobody has",
      "RangeError: a reference to frame N is let go that nobody has",
      "RangeError: a mirror of own0 is given up for the second time",
      "RangeError: device own0 has no engine: its driver own has no execute()",
      "RangeError: device own0 has no engine: its driver own has no execute()",
      "RangeError: job 1 of jobs0 was never queued: there were 0",
    ]
  `);
});
