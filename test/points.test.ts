import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { functionsOf, ROOT, sourcesBelow } from "./points.js";

/*
 * A schedule that no point lets happen is never explored. So each function of the engine that
 * touches what others can see has a point of its own, or is one of these: plain functions that run
 * wholly between a point of their caller and the next, in one step with the access announced there.
 */
const UNDER_CALLERS_LOCK = "the caller holds the lock that guards it, and everybody else takes that lock, which is a point";
const UNDER_CALLERS_POINT = "one step with the access that the caller has announced";
const NOT_VISIBLE_YET = "the page is not reachable by anybody else yet, or any more";
const ANY_MOMENT = "numbers for people: those of any moment will do, and they are read in one step";
const OBSERVER = "looks on from outside, as strace and ps do: no guest and no kernel code depends on it";
const TIMER = "a timer's interrupt, in one step between two turns of the executors";
const RETRY = "what a retry loop waits to see changed: looked at while nobody runs";
const NEVER_CHANGES = "what it reads does not change while the caller's reference lasts";

const OF_A_FILE = "whether a folio is of a file is settled for as long as somebody has it locked, or mapped";
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "arch/fault.ts: walkAndFill": "what the hardware does in one atomic step; its callers announce PteHardware",
  "arch/tlbflush.ts: prefetch": "speculation of the hardware, in one step with the write of the entry (PteWrite)",
  "arch/tlbflush.ts: localFlushPage": "this CPU's own TLB, which Machine.touches announces",
  "arch/uaccess.ts: keepsTranslation": `${UNDER_CALLERS_POINT} (UserRead, UserWrite)`,
  "drivers/iommu_sva.ts: walk": "what the hardware does in one atomic step (DeviceTable), which Machine.touches announces",
  "drivers/test_hmm.ts: deviceWrote": `${UNDER_CALLERS_POINT} (DeviceWrite)`,
  "drivers/test_hmm.ts: dmirrorFaultBatch/(anonymous)": UNDER_CALLERS_LOCK,
  "drivers/test_hmm_memory.ts: mapLate/(anonymous)": `${UNDER_CALLERS_POINT} (DeviceTable)`,
  "drivers/test_hmm_memory.ts: mapMigrated/(anonymous)": `${UNDER_CALLERS_POINT} (DeviceTable)`,
  "drivers/test_hmm_memory.ts: standsFor": `${UNDER_CALLERS_POINT} (TableRead), and Machine.touches`,
  "fs/proc/array.ts: stateLetter": `${UNDER_CALLERS_POINT} (Process)`,
  "fs/proc/array.ts: usage": `${UNDER_CALLERS_POINT} (Process)`,
  "fs/proc/base.ts: TaskDir.ids": `${UNDER_CALLERS_POINT} (Inode)`,
  "fs/proc/base.ts: findTarget": "a lookup in one step; what it finds is kept alive by the one who looked, as by a pid reference",
  "fs/proc/generic.ts: busyNs": ANY_MOMENT,
  "fs/proc/numa_maps.ts: addEntry": UNDER_CALLERS_LOCK,
  "fs/proc/pagemap.ts: pteToPagemapEntry": UNDER_CALLERS_LOCK,
  "fs/proc/pagemap_scan.ts: categoriesOf": UNDER_CALLERS_LOCK,
  "fs/proc/task_mmu.ts: smapsAccount": UNDER_CALLERS_LOCK,
  "fs/proc/task_mmu.ts: smapsPteEntry": UNDER_CALLERS_LOCK,
  "kernel/cpu_timers.ts: usedNs": ANY_MOMENT,
  "kernel/futex.ts: futexWait/(anonymous)": "whoever sets it wakes the sleeper, who looks again",
  "kernel/futex.ts: unqueue/(anonymous)": RETRY,
  "kernel/numa_balancing.ts: vmaIsAccessed": ANY_MOMENT,
  "kernel/posix_timers.ts: tell": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "kernel/uprobe_write.ts: insideFrame": `${UNDER_CALLERS_POINT} (FrameRead, FrameWrite)`,
  "kernel/signal.ts: Signals.pending": "any moment will do: a signal that comes later wakes the sleeper, or is met on the way out",
  "kernel/signal.ts: queuedSignals": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "kernel/signal.ts: Signals.send": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "kernel/signal.ts: Signals.startGroupExit": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: Signals.takerOf": `${UNDER_CALLERS_POINT} (Process)`,
  "fs/pidfd.ts: makePidfd/poll": "whoever polls looks again when he is woken, and every end wakes him",
  "fs/signalfd.ts: Signalfd.ready": "whoever polls looks again when he is woken, and every signal wakes him",
  "kernel/job_control.ts: hasStopped": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/job_control.ts: isOrphaned": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: Signals.startGroupStop": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: Signals.goOn": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "kernel/signal.ts: forget": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "riscv/abi/syscalls/pidfd.ts: isThere": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: Signals.zapOthers": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: dequeueSignal": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: firstOf": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: getSignal": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/signal.ts: killer": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/time.ts: realTimerTaken": `${UNDER_CALLERS_POINT} (Process)`,
  "kernel/time.ts: armRealTimer": `${UNDER_CALLERS_POINT} (Process), or a timer's`,
  "kernel/time.ts: armRealTimer/(anonymous)": TIMER,
  "kernel/time.ts: getRealTimer": "one read of a reference to something that never changes",
  "drivers/device_memory.ts: backingPage": "where a device's page has its contents does not change while somebody refers to it",
  "drivers/device_memory.ts: deviceFolioSplit": NOT_VISIBLE_YET,
  "mm/memory.ts: devicePrivateStayed/(anonymous)": RETRY,
  "mm/memremap.ts: zoneDeviceFolioInit": NOT_VISIBLE_YET,
  "mm/memremap.ts: folioFreed": NOT_VISIBLE_YET,
  "mm/migrate_device.ts: assertDestination": "refuses what no driver may do, and nothing depends on it otherwise",
  "mm/migrate_device.ts: assertLocked": "refuses what no driver may do, and nothing depends on it otherwise",
  "mm/page_alloc.ts: splitPage": NOT_VISIBLE_YET,
  "mm/damon.ts: damonPtePfn": UNDER_CALLERS_LOCK,
  "patches/device_exclusive_2025.ts: undoDamonMkold/damonPtePfn": UNDER_CALLERS_LOCK,
  "patches/device_exclusive_2025.ts: undoRejectHugetlb/exclusiveSupported": NEVER_CHANGES,
  "mm/rmap.ts: migratedPte": `${UNDER_CALLERS_LOCK}; the folio is locked`,
  "patches/device_private_fault_2025.ts: undoWait/devicePrivateLocked/(anonymous)": RETRY,
  "mm/filemap.ts: addFolio": `${UNDER_CALLERS_POINT} (PageCacheWrite)`,
  "mm/rmap.ts: accountPmdMapped": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/rmap.ts: withoutEntries": `${UNDER_CALLERS_POINT} (MapCount)`,
  "kernel/exit.ts: endTold": `${UNDER_CALLERS_POINT} (Process), and the process that has ended is touched`,
  "mm/collapse_census.ts: Census.countReferenced": `${UNDER_CALLERS_POINT} (RefCompare, PteRead), of which folio and entry`,
  "mm/collapse_census.ts: Census.isLazyfree": `${UNDER_CALLERS_POINT} (PteRead), of which folio and entry`,
  "mm/folio_lock.ts: take": `${UNDER_CALLERS_POINT} (FolioLock)`,
  "mm/hmm.ts: isZeroPage": NEVER_CHANGES,
  "mm/memory.ts: exclusivePteWritability": UNDER_CALLERS_LOCK,
  "mm/ksm.ts: ksmMightNeedToCopy": `${UNDER_CALLERS_LOCK}, the folio's`,
  "mm/ksm.ts: mapsKsm": `${UNDER_CALLERS_POINT} (PteRead)`,
  "mm/rmap.ts: pageAddressInVma": `${UNDER_CALLERS_LOCK}, the folio's`,
  "mm/memory.ts: setPte": `${UNDER_CALLERS_POINT} (PteWrite)`,
  "mm/memory_failure.ts: retain": NOT_VISIBLE_YET,
  "mm/mlock.ts: sameFolio": `${UNDER_CALLERS_LOCK}; what it reads, Machine.touches announces`,
  "mm/mlock_folio.ts: becomesUnevictable": `${UNDER_CALLERS_LOCK}; its caller's caller announces PageFlags`,
  "mm/mlock_folio.ts: chooseList": `${UNDER_CALLERS_LOCK}; its callers announce PageFlags`,
  "mm/mlock_folio.ts: clearMlocked": NOT_VISIBLE_YET,
  "mm/mlock_folio.ts: folioEvictable": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "mm/mlock_folio.ts: markMlocked": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "mm/mlock_folio.ts: mlockListed": `${UNDER_CALLERS_LOCK}; its caller announces PageFlags`,
  "mm/mlock_folio.ts: mlockNew": `${UNDER_CALLERS_LOCK}; its caller announces PageFlags`,
  "mm/mlock_folio.ts: munlockListed": `${UNDER_CALLERS_LOCK}; its caller announces PageFlags`,
  "mm/mmu_notifier.ts: applyDeferred": `${UNDER_CALLERS_POINT} (NotifierEnd)`,
  "mm/mmu_notifier.ts: invalidating": `${UNDER_CALLERS_POINT} (NotifierEnd, NotifierSubscribe)`,
  "mm/mmu_notifier.ts: intervalSetSeq": "what it sets, Machine.touches announces; its callers hold the driver's lock",
  "mm/mmu_notifier.ts: mmHasNotifiers": "always true while checking, so that the points behind it are passed",
  "mm/mprotect.ts: canChangePteWritable": UNDER_CALLERS_LOCK,
  "mm/pte_batch.ts: modifyPteBatch/(anonymous)": `${UNDER_CALLERS_POINT} (PteWrite, by ptepModify)`,
  "mm/pte_batch.ts: folioPteBatch": `${UNDER_CALLERS_LOCK}, and its look (PteRead)`,
  "fs/proc/node_state.ts: nodeState": "statistics: each page as it happens to be met",
  "mm/hstate.ts: Hstate.ofNode": "statistics: each page as it happens to be met",
  "fs/proc/page.ts: isFreeBuddy": "statistics: each page as it happens to be met",
  "fs/proc/page.ts: stablePageFlags": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "fs/proc/vmstat.ts: zoneUses": "statistics: each page as it happens to be met",
  "mm/page_alloc.ts: freeToPcp": NOT_VISIBLE_YET,
  "mm/page_alloc.ts: prepareNewPage": NOT_VISIBLE_YET,
  "mm/page_alloc.ts: returnFast": NOT_VISIBLE_YET,
  "mm/page_flags.ts: pageFlagsWord": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "mm/page_flags.ts: pageflagNames/(anonymous)": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "mm/filemap.ts: dropFolio": `${UNDER_CALLERS_POINT} (PageCacheWrite)`,
  "mm/filemap.ts: folioMapping": OF_A_FILE,
  "mm/filemap.ts: accountCached": `${UNDER_CALLERS_POINT} (PageCacheWrite)`,
  "mm/rmap.ts: accountMapped": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/rmap.ts: rssKind": OF_A_FILE,
  "mm/zap.ts: namesFilePage": UNDER_CALLERS_LOCK,
  "mm/zap.ts: usedOfFile": UNDER_CALLERS_LOCK,
  "mm/rmap.ts: dropMapping": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/rmap.ts: exclusiveSupported": NEVER_CHANGES,
  "mm/madvise.ts: mappedByOthers": `${UNDER_CALLERS_LOCK}, and Machine.touches`,
  "mm/rmap.ts: maybeMappedShared": `${UNDER_CALLERS_POINT} (MapCount), or Machine.touches`,
  "patches/large_folio_owners_2025.ts: undo/maybeMappedShared": `${UNDER_CALLERS_POINT} (MapCount), or Machine.touches`,
  "mm/rmap.ts: expectedRefs": `${UNDER_CALLERS_POINT} (RefGet)`,
  "mm/rmap.ts: folioAddNewAnonRmap": NOT_VISIBLE_YET,
  "mm/folio_lock.ts: lockNewFolio": NOT_VISIBLE_YET,
  "mm/gup_longterm.ts: checkAndMigrateMovablePages/changed/(anonymous)": RETRY,
  "mm/gup.ts: entryPermits": UNDER_CALLERS_LOCK,
  "mm/gup.ts: mustUnshare": `${UNDER_CALLERS_POINT} (PteRead)`,
  "mm/shmem_huge.ts: swapCached": "a hint: the fault looks again under the folio's lock",
  "mm/huge_migrate.ts: fillMigrationTable": "nobody can find the table yet, and the entry that it stands for is locked",
  "mm/huge_migrate.ts: isMigrationPmd": `${UNDER_CALLERS_LOCK}, of the entry`,
  "mm/huge_split.ts: splitFrozen": `${UNDER_CALLERS_POINT} (RefGet); what else it changes, Machine.touches announces`,
  "mm/memory.ts: pteRangeNone": `${UNDER_CALLERS_POINT} (PteRead)`,
  "mm/mprotect.ts: changeHugePmd/(anonymous)": "called between the point of ptepModify and its write",
  "mm/page_vma_mapped.ts: entryMaps": `${UNDER_CALLERS_POINT} (PteRead)`,
  "mm/rmap.ts: folioAddNewAnonRmapPmd": NOT_VISIBLE_YET,
  "mm/rmap.ts: dropPmdMapping": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/rmap.ts: splitRmapPmd": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/filemap.ts: entriesOf": NEVER_CHANGES,
  "mm/hugetlb.ts: addNewAnonRmap": NOT_VISIBLE_YET,
  "mm/memory_hotplug.ts: isMovableHugetlb": `${UNDER_CALLERS_POINT} (PageFlags)`,
  "mm/hugetlb_pool.ts: hasPoison": UNDER_CALLERS_LOCK,
  "mm/hugetlb_pool.ts: enqueue": UNDER_CALLERS_LOCK,
  "mm/hugetlb_pool.ts: remove": UNDER_CALLERS_LOCK,
  "mm/hugetlb_pool.ts: claim": UNDER_CALLERS_LOCK,
  "mm/hugetlb_vma.ts: changeHugetlbProtection/(anonymous)": `${UNDER_CALLERS_POINT} (PteWrite, by ptepModify)`,
  "fs/userfaultfd.ts: handleUserfault/(anonymous)": RETRY,
  "mm/uffd_fill.ts: mayInstall": UNDER_CALLERS_LOCK,
  "mm/uffd_move.ts: moveAnonRmap": `${UNDER_CALLERS_LOCK}, of the folio; Machine.touches announces PageFlags`,
  "mm/swap_state.ts: servesSlot": `${UNDER_CALLERS_LOCK}, of the folio`,
  "mm/swap_state.ts: swapCacheGetFolio/(anonymous)": RETRY,
  "mm/swap.ts: batchNewFolio": NOT_VISIBLE_YET,
  "mm/swap.ts: folioLruList": UNDER_CALLERS_LOCK,
  "mm/swap.ts: wantsMove": `${UNDER_CALLERS_LOCK}; its caller's caller announces PageFlags`,
  "mm/swap.ts: pagemapFlags": "for a tracepoint, in one step with what it tells of",
  "mm/swap.ts: moveFolio": `${UNDER_CALLERS_LOCK}; its caller announces PageFlags`,
  "mm/swapfile.ts: releaseSlot": UNDER_CALLERS_LOCK,
  "mm/tlb_batch.ts: setTlbUbcFlushPending": `${UNDER_CALLERS_POINT} (PteWrite)`,
  "mm/vmscan.ts: shrinkInactiveList/(anonymous)": "picks one to wait for: the wait looks again",
  "mm/zap.ts: zapPresentPte": `${UNDER_CALLERS_POINT} (MapCount)`,
  "mm/zone.ts: Zone.freeBlock": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.addFree": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.moveFree": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.removeFree": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.removeIsolated": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.split": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.takeFree": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zone.takeOver": UNDER_CALLERS_LOCK,
  "mm/zone.ts: Zones.constructor": "boot: nothing runs yet",
  "mm/zone.ts: Zones.release": UNDER_CALLERS_LOCK,
  "riscv/abi/cpu_context.ts: CpuContext.checkCode": "in one step with the fill of the TLB",
  "riscv/abi/cpu_context.ts: CpuContext.lookUp": "the hart's own copy of what the CPU's TLB has, and no longer than the instruction lasts",
  "riscv/abi/cpu_context.ts: CpuContext.runPrivate": "the hart's own copy of what the CPU's TLB has",
  "riscv/abi/linux.ts: LinuxMachine.startProgram": "the process is new, and its only task not started",
  "riscv/abi/linux.ts: LinuxMachine.threadGone": OBSERVER,
  "riscv/abi/operator.ts: OperatorShell.constructor": "boot: nothing runs yet",
  "riscv/abi/scenario_guests.ts: Harts.threadGone": OBSERVER,
  "riscv/abi/scenario_guests.ts: ScenarioGuestMachine.start": "the process is new, and its only task not started",
  "riscv/abi/syscalls/process.ts: processTimes": ANY_MOMENT,
  "riscv/abi/user.ts: peekUser": OBSERVER,
};

const ENGINE = [
  ...["mm", "arch", "drivers", "patches", "kernel", "fs"].map((dir) => join("kernel/src", dir)),
  "riscv/src/abi",
].flatMap((dir) => sourcesBelow(join(ROOT, "packages", dir)));

describe("points", () => {
  const sharing = ENGINE.flatMap(functionsOf).filter((f) => f.accesses.length > 0);

  test("every function with shared accesses has one", () => {
    const without = sharing.filter((f) => f.points === 0 && EXCEPTIONS[f.name] === undefined);
    expect(without.map((f) => `${f.name}: ${f.accesses.join(", ")}`)).toEqual([]);
  });

  test("no generator is excused", () => {
    const excused = sharing.filter((f) => f.generator && EXCEPTIONS[f.name] !== undefined);
    expect(excused.map((f) => f.name)).toEqual([]);
  });

  test("no excuse outlives its function", () => {
    const needed = new Set(sharing.filter((f) => f.points === 0).map((f) => f.name));
    expect(Object.keys(EXCEPTIONS).filter((name) => !needed.has(name))).toEqual([]);
  });

  test("the sources are understood: there is something to count", () => {
    expect(sharing.length).toBeGreaterThan(80);
    expect(sharing.find((f) => f.name === "mm/rmap.ts: setExclusivePte")).toMatchObject({ generator: true });
  });
});
