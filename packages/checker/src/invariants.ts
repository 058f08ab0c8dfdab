import {
  Event,
  HPAGE_PMD_ORDER,
  NO_PAGE,
  Op,
  PG,
  PTE,
  ptePresent,
  radixToSwpEntry,
  RssKind,
  Space,
  SPACE_OF,
  splicedPages,
  VM,
  xaIsValue,
  ZoneId,
  type DeviceEntry,
  type DeviceMirror,
  type EventSink,
  type Executor,
  type Kernel,
  type Memcg,
  type Mm,
  type Task,
} from "@faultline/kernel";
import { iovaOf, keptByIommu } from "./iommu_rules.js";
import { devicePageOf, entryWritten, hintsWrongly, howMapped, missedByRmap, notGranted, onItsWay, otherOwner, unbacked } from "./entry_rules.js";
import type { LockOrder } from "./lock_order.js";
import { hugetlbBooks } from "./hugetlb_books.js";
import { ksmBooks, ksmEntryWrong } from "./ksm_books.js";
import { lruBooks } from "./lru_books.js";
import { deviceBooks } from "./device_books.js";
import { NotifierRules } from "./notifier_rules.js";
import { SecondaryRules } from "./secondary_rules.js";
import { uffdBooks } from "./uffd_books.js";
import type { About, Finding, ViolationKind } from "./violation.js";

const PTRS = 512;
const USER_ROOT_ENTRIES = 256;

/** What a walk of the page tables calls for each entry that is not empty. */
type Visit = (mm: Mm, vpn: number, flags: number, pfn: number) => void;

/**
 * What must always hold, checked from outside: reads the machine's state, listens to its events,
 * mends nothing. Cheap rules are checked at the event that could break them; the books are
 * balanced at rest, when all threads have ended.
 */
export class Invariants implements EventSink {
  private readonly mapped: Int32Array;
  private readonly referenced: Int32Array;
  /** How many entries map a folio as a whole. */
  private readonly mappedWhole = new Map<number, number>();
  /** An address space that has been found to map a large folio. */
  private readonly owners = new Map<number, number>();
  private readonly swapEntries: Uint8Array;
  /** What each cgroup should have charged, by its id. */
  private readonly chargedPages: number[] = [];
  private readonly chargedSlots: number[] = [];
  /** Pages that migration entries name, by the entry. */
  private readonly migrating = new Map<number, number>();
  private readonly freedVmas: number[] = [];
  /** Users of each address space when the execution began (mm_users). */
  private readonly users = new Map<number, number>();
  /** The last point of each executor, by its number: what it does next unless it runs already. */
  private readonly at: { task: Task | null; op: Op; object: number }[] = [];
  /** Free frames before anything was mapped. */
  private freeAtBoot = 0;
  private readonly usedAtBoot = new Set<number>();
  private readonly notifiers: NotifierRules;
  private readonly secondary: SecondaryRules;

  constructor(
    private readonly k: Kernel,
    private readonly mirrors: readonly DeviceMirror[],
    private readonly locks: LockOrder,
    private readonly report: (finding: Finding) => void,
  ) {
    const { nrPages } = k.m.memmap;
    this.mapped = new Int32Array(nrPages);
    this.referenced = new Int32Array(nrPages);
    this.swapEntries = new Uint8Array(k.m.swap.slots);
    this.notifiers = new NotifierRules(k.m, mirrors, (mirror, vpn, page) => onItsWay(k, mirror, vpn, page), report);
    this.secondary = new SecondaryRules(k.m, report);
    locks.onRelease = (task, id) => this.notifiers.released(task, id);
  }

  boot(): void {
    this.freeAtBoot = this.freeFrames();
    const { memmap } = this.k.m;
    for (let page = 0; page < memmap.nrPages; page++) if (memmap.refcount[page] !== 0) this.usedAtBoot.add(page);
  }

  /** An execution begins: nothing has been freed that anybody could still know of, and nothing is being moved. */
  begin(): void {
    if (this.freedVmas.length > 0) this.freedVmas.length = 0;
    if (this.migrating.size > 0) this.migrating.clear();
    this.notifiers.begin();
    this.secondary.begin();
    for (const at of this.at) if (at !== undefined) at.task = null;
    this.users.clear();
    for (const mm of this.k.m.mms) this.users.set(mm.id, mm.users);
  }

  /* At events. */

  point(executor: number, op: number, object: number): void {
    const at = (this.at[executor] ??= { task: null, op: 0, object: 0 });
    at.task = this.k.m.current;
    at.op = op;
    at.object = object;
    // Whoever is about to drop a reference has one now.
    if (op === Op.RefPut && this.k.m.memmap.refcount[object]! <= 0) {
      this.fail("refcount", `a reference to ${this.frame(object)} is dropped, which has none (${this.k.m.memmap.refcount[object]})`, { page: object });
    }
    if (SPACE_OF[op] === Space.Pte && object >= 0 && !this.k.m.pt.isAllocated(object)) this.reachesTable(this.task(), object);
  }

  /** A page table is freed: somebody may be just in front of an access to it. */
  private tableFreed(node: number): void {
    for (const e of this.k.m.sched.executors) {
      const at = this.at[e.id];
      if (at === undefined || at.task === null || at.task !== e.current || at.task === this.k.m.current || SPACE_OF[at.op] !== Space.Pte) continue;
      if (Math.floor(at.object / PTRS) === node) this.reachesTable(at.task?.comm ?? "", at.object);
    }
  }

  private reachesTable(task: string, ptep: number): void {
    this.fail("use-after-free", `${task} reaches entry ${ptep % PTRS} of a page table that has been freed`);
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number): void {
    switch (event) {
      case Event.UserAccess:
        return this.userAccess(a, b, c);
      case Event.DeviceAccess:
        return this.deviceAccess(a, b, c);
      case Event.MmPageFree:
        return this.folioFreed(a, b);
      case Event.FolioLock:
        return this.folioLock(a, b !== 0);
      case Event.SetPte:
        return this.entryWritten(a, b, c, d);
      case Event.MmVmscanWriteFolio:
        return this.folioWritten(a);
      case Event.TableFree:
        return this.tableFreed(a);
      case Event.VmaFree:
        this.freedVmas.push(a);
        return;
      case Event.VmaReach:
        if (this.freedVmas.includes(a)) this.fail("use-after-free", `${this.task()} looks into VMA ${a}, which has been freed`);
        return;
      case Event.SecondaryTlbInvalidate:
        return this.secondary.invalidated(a, b, c, d !== 0);
      case Event.DeviceMap:
        this.notifiers.emit(event, a, b, c, d);
        return this.deviceMapped(a, b, c, d);
      case Event.MmRelease:
        this.secondary.released(a);
        return this.notifiers.emit(event, a, b, c, d);
      default:
        this.notifiers.emit(event, a, b, c, d, e, f);
    }
  }

  private userAccess(executor: number, vpn: number, page: number): void {
    if (this.isGivenBack(page)) {
      this.fail("use-after-free", `${this.cpu(executor)} reaches ${this.frame(page)} through its TLB at page ${hex(vpn)}, and the frame is free`, { page, vpn, mm: this.k.m.sched.executors[executor]!.activeMm?.id });
    }
    const mm = this.k.m.sched.executors[executor]!.activeMm;
    for (const mirror of this.mirrors) {
      if (mirror.mm !== mm || mirror.table.size === 0) continue;
      const entry = mirror.table.get(vpn);
      if (entry === undefined || !entry.atomic || entry.page !== page) continue;
      this.fail(
        "exclusive-access",
        `${this.cpu(executor)} reaches ${this.frame(page)} at page ${hex(vpn)} by an ordinary translation, while ` +
          `${mirror.device.name} has it exclusively`,
        { page, vpn, mm: mirror.mm.id },
      );
    }
  }

  private deviceAccess(device: number, vpn: number, page: number): void {
    if (this.isFree(page)) {
      this.fail("use-after-free", `device ${device} reaches ${this.frame(page)} at page ${hex(vpn)}, and the frame is free`, { page });
    }
    for (const mirror of this.mirrors) {
      if (mirror.device.id !== device) continue;
      const entry = mirror.table.get(vpn);
      if (entry !== undefined) this.deviceEntry(mirror, vpn, entry, "at a device access");
    }
  }

  private folioWritten(folio: number): void {
    if (this.k.m.memmap.has(folio, PG.swapcache)) return;
    this.fail("swap", `${this.frame(folio)} is written to swap, and is not in the swap cache`);
  }

  private folioFreed(folio: number, order: number): void {
    for (let page = folio; page < folio + (1 << order); page++) this.pageFreed(page);
  }

  private pageFreed(page: number): void {
    const { m } = this.k;
    this.locks.forget("folio_lock", page);
    if (m.memmap.refcount[page] !== 0) {
      this.fail("refcount", `${this.frame(page)} is freed with ${m.memmap.refcount[page]} references`, { page });
    }
    if (m.memmap.pincount[page] !== 0) this.fail("refcount", `${this.frame(page)} is freed with ${m.memmap.pincount[page]} pins`, { page });
    if (m.memmap.has(page, PG.writeback)) this.fail("swap", `${this.frame(page)} is freed while it is written to swap`, { page });
    // A page table itself: nothing maps it.
    if (m.memmap.has(page, PG.table)) return;
    for (const e of m.sched.executors) {
      const vpn = cachedVpn(e, page);
      if (vpn >= 0) this.fail("freed-while-mapped", `${this.frame(page)} is freed while the TLB of ${e.name} has it at page ${hex(vpn)}`, { page, vpn, mm: e.activeMm?.id });
    }
    for (const mirror of this.mirrors) {
      if (mirror.table.size === 0) continue;
      for (const [vpn, entry] of mirror.table) {
        if (entry.page === page) {
          this.fail("freed-while-mapped", `${this.frame(page)} is freed while ${mirror.device.name} maps it at page ${hex(vpn)}`, { page, vpn, mm: mirror.mm.id });
        }
      }
    }
    for (const device of m.devices) {
      const iova = iovaOf(device, page);
      if (iova !== null) this.fail("freed-while-mapped", `${this.frame(page)} is freed while the IOMMU of ${device.name} ${iova.cached ? "has it cached" : "maps it"} at IOVA ${hex(iova.iova)}`, { page });
    }
    const cached = this.secondary.freed(page);
    if (cached !== null) this.report(cached);
    const pfn = m.memmap.pageToPfn(page);
    for (const mm of m.mms) {
      if (!this.mayMap(mm, pfn)) continue;
      const mapped = (vpn: number): void =>
        this.fail("freed-while-mapped", `${this.frame(page)} is freed while a page table maps it at page ${hex(vpn)}`, { page, vpn, mm: mm.id });
      this.walk(
        mm,
        (_mm, vpn, flags, entryPfn) => {
          if (entryPfn === pfn && this.namesPage(flags)) mapped(vpn);
        },
        (_mm, vpn, _flags, first) => {
          if (pfn >= first && pfn < first + PTRS) mapped(vpn + (pfn - first));
        },
      );
    }
  }

  /** False when no entry of the page tables that is not empty, of whatever kind, has the pfn; quick. */
  private mayMap(mm: Mm, pfn: number): boolean {
    if (mm.pgd < 0) return false;
    const { pt } = this.k.m;
    for (let i = pt.nextUsed(mm.pgd, 0); i < USER_ROOT_ENTRIES; i = pt.nextUsed(mm.pgd, i + 1)) {
      const mid = pt.child(mm.pgd * PTRS + i);
      if (mid < 0) return true;
      for (let j = pt.nextUsed(mid, 0); j < PTRS; j = pt.nextUsed(mid, j + 1)) {
        if (pt.isLeaf(mid * PTRS + j)) return true;
        const last = pt.child(mid * PTRS + j);
        for (let l = pt.nextUsed(last, 0); l < PTRS; l = pt.nextUsed(last, l + 1)) if (pt.pfn(last * PTRS + l) === pfn) return true;
      }
    }
    return false;
  }

  /** Whether an entry names a page: an ordinary one, or one that stands in for one. */
  private namesPage(flags: number): boolean {
    const { swapops } = this.k;
    return ptePresent(flags) || swapops.holdsMapping(this.k, flags) || swapops.isMigration(this.k, flags);
  }

  private entryWritten(ptep: number, flags: number, pfn: number, vpn: number): void {
    const { memmap } = this.k.m;
    const finding = entryWritten(this.k, this.mirrors, ptep, vpn);
    if (finding !== null) this.report(finding);
    const merged = ksmEntryWrong(this.k, flags, memmap.pfnToPage(pfn));
    if (merged !== null) this.fail("ksm", `the entry at page ${hex(vpn)}, of a KSM page, ${merged}`, { vpn });
    if (!this.k.swapops.isMigration(this.k, flags)) {
      if (this.migrating.size > 0) this.migrating.delete(ptep);
      return;
    }
    const page = memmap.pfnToPage(pfn);
    this.migrating.set(ptep, page);
    if (!memmap.has(memmap.folioOf(page), PG.locked)) {
      this.fail("migration-entry", `${this.task()} writes a migration entry for ${this.frame(page)}, whose folio is not locked`, { page });
    }
  }

  private folioUnlocked(folio: number): void {
    for (const page of this.migrating.values()) {
      if (this.k.m.memmap.folioOf(page) !== folio) continue;
      this.fail("migration-entry", `${this.task()} unlocks the folio of ${this.frame(page)}, for which there is a migration entry`, { page });
    }
  }

  private folioLock(page: number, unlock: boolean): void {
    if (this.isFree(page)) {
      this.fail("lock-on-free", `${this.task()} ${unlock ? "releases" : "takes"} the folio lock of ${this.frame(page)}, which is free`, { page });
    }
    if (unlock && this.migrating.size > 0) this.folioUnlocked(page);
    if (unlock && !this.k.m.memmap.has(page, PG.locked)) {
      this.fail("lock-on-free", `${this.task()} releases the folio lock of ${this.frame(page)}, which is not locked`, { page });
    }
  }

  /** Every device entry is backed by the CPU's tables, unless an invalidation is on its way. */
  private deviceTables(when: string): void {
    for (const mirror of this.mirrors) {
      if (mirror.table.size === 0) continue;
      for (const [vpn, entry] of mirror.table) this.deviceEntry(mirror, vpn, entry, when);
    }
  }

  /** A translation is entered: what the notifier's sequence does not speak against is so. */
  private deviceMapped(notifier: number, vpn: number, page: number, flags: number): void {
    const mirror = this.mirrors.find(({ notifier: { id } }) => id === notifier);
    if (mirror === undefined || mirror.mm.activeInvalidations > 0) return;
    const entry = { page, write: (flags & 1) !== 0, atomic: (flags & 2) !== 0 };
    // What is exclusive the folio lock keeps so until it is entered.
    if (entry.atomic) return;
    const wrong = unbacked(this.k, mirror, vpn, entry);
    if (wrong === null) return;
    const what = `${this.task()} enters ${this.frame(page)} ${howMapped(entry)} at page ${hex(vpn)} in the table of ${mirror.device.name}, but ${wrong}`;
    const why = this.k.m.memmap.isDevicePrivate(page) ? "what it reads and writes of device-private memory is the backing page (backingPage)" : wrong.endsWith("read-only") ? "hmm_range_fault() reports HMM_PFN_WRITE where it may be written" : "nobody has read so, with hmm_range_fault() say, since mmu_interval_read_begin()";
    this.fail("device-table", `${what}: ${why}`, { page, vpn, mm: mirror.mm.id });
  }

  private deviceEntry(mirror: DeviceMirror, vpn: number, entry: DeviceEntry, when: string): void {
    const other = otherOwner(this.mirrors, mirror, entry);
    if (other !== null) {
      this.fail("exclusive-access", `${mirror.device.name} and ${other.device.name} both map ${this.frame(entry.page)} ${when}, one of them exclusively`, { page: entry.page, vpn, mm: mirror.mm.id });
    }
    if (mirror.mm.activeInvalidations > 0) return;
    const wrong = unbacked(this.k, mirror, vpn, entry);
    if (wrong === null) return;
    this.fail("device-table", `${mirror.device.name} maps ${this.frame(entry.page)} ${howMapped(entry)} at page ${hex(vpn)} ${when}, but ${wrong}`, { page: entry.page, vpn, mm: mirror.mm.id });
  }

  /* At rest. */

  /** All threads have ended: the books must balance. */
  atRest(): void {
    const { m } = this.k;
    this.mapped.fill(0);
    if (this.mappedWhole.size > 0) this.mappedWhole.clear();
    if (this.owners.size > 0) this.owners.clear();
    this.referenced.fill(0);
    this.swapEntries.fill(0);
    this.unbalanced();
    for (const mm of m.mms) this.tableBooks(mm);
    this.fileBooks();
    this.pipeBooks();
    this.pageBooks();
    hugetlbBooks(this.k, (message) => this.fail("hugetlb", message));
    lruBooks(this.k, (message) => this.fail("lru", message));
    ksmBooks(this.k, (message) => this.fail("ksm", message));
    this.swapBooks();
    this.memcgBooks();
    this.tlbBooks();
    this.secondary.atRest();
    this.deviceTables("at rest");
    for (const device of m.devices) {
      const kept = keptByIommu(this.mirrors, device);
      if (kept !== null) this.fail("device-table", `the IOMMU of ${device.name} maps ${this.frame(kept.page)} at IOVA ${hex(kept.iova)} at rest, and no mirror of the device holds that frame`, { page: kept.page });
    }
    for (const page of this.migrating.values()) this.fail("leak", `a migration entry for ${this.frame(page)} is left`, { page });
    for (const mm of m.mms) {
      if (mm.activeInvalidations !== 0) this.fail("leak", `an invalidation of mm ${mm.id} has begun and not ended`, { mm: mm.id });
      if (mm.mmapLock.isLocked) this.fail("leak", `mmap_lock of mm ${mm.id} is still held`);
      // Each thread is a user, and so is a process that shares the memory (CLONE_VM).
      let tasks = 0;
      for (const task of m.tasks.values()) if (task.mm === mm) tasks++;
      const users = Math.max(this.users.get(mm.id) ?? 1, tasks);
      if (mm.users > users) this.fail("leak", `mm ${mm.id} has ${mm.users} users, and had ${users}: mmput() was not called after mmget_not_zero()`, { mm: mm.id });
      for (const vma of mm.vmas) if (vma.readers !== 0) this.fail("leak", `the lock of the VMA at ${hex(vma.startVpn)} is still held`);
    }
    deviceBooks(this.k, (message, page) => this.fail("device-memory", message, { page }));
    uffdBooks(m, (message) => this.fail("leak", message));
    if (m.rcu.pending + m.notifierSrcu.periods.pending > 0) this.fail("leak", "a grace period has not ended");
    this.trackedReferences(false);
  }

  private trackedReferences(exited: boolean): void {
    const { refs } = this.k.m;
    if (refs === null) return;
    // What an open file holds is let go when it is closed.
    for (const page of refs.empty ? [] : refs.pages()) {
      if (exited || refs.heldByTask(page)) this.fail("leak", `${this.frame(page)} is still held${this.heldText(page)}`, { page });
    }
  }

  /** References that were let go and that nobody held: ahead of what comes of it. */
  private unbalanced(): void {
    for (const line of this.k.m.refs?.unbalanced ?? []) this.fail("refcount", line);
  }

  /** What is pinned counts as such, is nobody else's, and lies where it can stay. */
  private pinBooks(page: number): void {
    const { memmap, refs, zones } = this.k.m;
    if (refs === null) return;
    const pins = refs.pins(page);
    if (memmap.isLarge(page)) this.compare("refcount", `the pin count of ${this.frame(page)}`, memmap.pincount[page]!, pins, "pins in flight");
    else this.compare("refcount", `the pin count of ${this.frame(page)}, which is no large folio,`, memmap.pincount[page]!, 0, "pins counted there");
    if (pins > 0 && memmap.isAnon(page) && memmap.pageMapcount(page) > 0 && !memmap.isAnonExclusive(page) && (!memmap.isLarge(page) || memmap.has(page, PG.hugetlb))) {
      this.fail("pin", `${this.frame(page)} is pinned, and not exclusive to the process that maps it: what it writes goes elsewhere`, { page });
    }
    const mustMove = memmap.isZoneDevice(page) ? memmap.isDeviceCoherent(page) : zones.zoneOf(page).id === ZoneId.Movable || zones.blocks.isIsolated(page);
    if (pins > 0 && mustMove && [...refs.longterm()].includes(page)) {
      this.fail("pin", `${this.frame(page)} has a long-term pin, and lies where everything must be able to move`, { page });
    }
  }

  /** The last address space is gone: so is everything that it had. */
  afterExit(): void {
    const { m } = this.k;
    this.unbalanced();
    this.trackedReferences(true);
    // Broken frames are nobody's, and stay out of use.
    const missing = this.freeAtBoot - this.freeFrames() - this.cachedPages() - m.vmstat.pages.hwpoison;
    if (missing !== 0) {
      const left: string[] = [];
      for (let page = 0; page < m.memmap.nrPages; page++) {
        if (m.memmap.refcount[page] !== 0 && !this.usedAtBoot.has(page)) left.push(`${this.frame(page)}${this.heldText(page)}`);
      }
      this.fail("leak", `${missing} frames are not free after everything has exited: ${left.join(", ") || "none has references"}`);
    }
    if (m.swap.used !== 0) this.fail("leak", `${m.swap.used} swap slots are in use after everything has exited`);
  }

  /** Pages that stay in memory for the next one to read their files; nobody else has a reference to them. */
  private cachedPages(): number {
    const { memmap, mappings } = this.k.m;
    let pages = 0;
    for (const { host, entries } of mappings.all()) {
      if (host.cached !== true) continue;
      for (const page of entries.values()) {
        pages++;
        if (memmap.refcount[page] !== 1) this.fail("leak", `${this.frame(page)}, of a file that nobody has mapped, is still held${this.heldText(page)}`, { page });
      }
    }
    return pages;
  }

  private tableBooks(mm: Mm): void {
    const { m, swapops } = this.k;
    const exclusiveMaps = swapops.exclusiveEntriesAreMapped();
    let anon = 0;
    let file = 0;
    let swap = 0;
    let huge = 0;
    let hugetlb = 0;
    const single = (vpn: number, flags: number, pfn: number): void => {
      const wrong = notGranted(mm, vpn, flags) ?? (ptePresent(flags) ? hintsWrongly(this.k, mm, vpn, flags, pfn) : null);
      if (wrong !== null) this.fail("vma", `the entry at page ${hex(vpn)} ${wrong}`);
      const exclusive = swapops.isDeviceExclusive(this.k, flags);
      const unaddressable = swapops.isDevicePrivate(this.k, flags);
      if (swapops.isWritableDevicePrivate(this.k, flags) && ((mm.vmaAt(vpn)?.flags ?? 0) & VM.WRITE) === 0) {
        this.fail("vma", `the device-private entry at page ${hex(vpn)} can be written, and its VMA cannot`);
      }
      if (exclusive || unaddressable || ptePresent(flags)) {
        if (ptePresent(flags) && (flags & PTE.SPECIAL) !== 0) return;
        const page = m.memmap.pfnToPage(pfn);
        if (page !== NO_PAGE && m.memmap.isDevicePrivate(page) !== unaddressable) {
          return this.fail("device-memory", `the entry at page ${hex(vpn)} ${unaddressable ? "says that" : "maps"} ${this.frame(page)} ${unaddressable ? "is in device-private memory, and it is not" : ", which no CPU can address"}`, { page, vpn, mm: mm.id });
        }
        if (page === NO_PAGE) return this.fail("mapcount", `the entry at page ${hex(vpn)} is for pfn ${hex(pfn)}, where there is no memory`);
        // References and mappings of a folio are its first page's.
        this.referenced[m.memmap.folioOf(page)]!++;
        if (!exclusive || exclusiveMaps) {
          this.mapped[page]!++;
          this.ownedBy(mm, m.memmap.folioOf(page));
        }
        if (exclusive && !m.memmap.isAnonExclusive(page)) {
          this.fail("anon-exclusive", `a device has ${this.frame(page)} exclusively at page ${hex(vpn)}, and its process has not`, { page, vpn, mm: mm.id });
        }
        const merged = ksmEntryWrong(this.k, flags, page);
        if (merged !== null) this.fail("ksm", `the entry at page ${hex(vpn)}, of a KSM page, ${merged}`, { page, vpn });
        const missed = missedByRmap(this.k, mm, vpn, page);
        if (missed !== null) this.fail("rmap", `no reverse walk from ${this.frame(page)} comes to its mapping at page ${hex(vpn)}: ${missed}`);
        if (m.memmap.isAnon(m.memmap.folioOf(page))) anon++;
        else file++;
      } else if (swapops.isMigration(this.k, flags)) {
        if (m.memmap.isFile(m.memmap.folioOf(m.memmap.pfnToPage(pfn)))) file++;
        else anon++;
      }
      else if (swapops.isSwapEntry(this.k, flags)) {
        swap++;
        if (pfn > 0 && pfn < m.swap.slots) this.swapEntries[pfn]!++;
        else this.fail("swap", `the entry at page ${hex(vpn)} is for swap slot ${pfn}, which does not exist`);
      }
    };
    const whole = (vpn: number, flags: number, pfn: number): void => {
      const vma = mm.vmaAt(vpn);
      if (vma?.isHugetlb === true) {
        hugetlb += this.hugetlbEntry(mm, vpn, flags, pfn);
        return;
      }
      // No table is set aside for what can be found in a file again.
      if (vma === null || vma.ops === null) huge++;
      if ((flags & PTE.SPECIAL) !== 0) return;
      const folio = m.memmap.pfnToPage(pfn);
      if (swapops.isMigration(this.k, flags)) {
        if (m.memmap.isFile(folio)) file += PTRS;
        else anon += PTRS;
        return;
      }
      if (m.memmap.order[folio] !== HPAGE_PMD_ORDER) {
        this.fail("mapcount", `2 MiB at page ${hex(vpn)} map ${this.frame(folio)}, which begins no folio of that size`);
      }
      this.referenced[folio]!++;
      this.mappedWhole.set(folio, (this.mappedWhole.get(folio) ?? 0) + 1);
      this.ownedBy(mm, folio);
      if (m.memmap.isFile(folio)) file += PTRS;
      else anon += PTRS;
    };
    this.walk(
      mm,
      (_mm, vpn, flags, pfn) => single(vpn, flags, pfn),
      (_mm, vpn, flags, pfn) => whole(vpn, flags, pfn),
    );
    this.compare("leak", `the number of tables that mm ${mm.id} has set aside`, mm.depositedTables.length, huge, "entries for 2 MiB");
    this.compare("rss", `HugetlbPages of mm ${mm.id}`, mm.hugetlbPages, hugetlb, "pages mapped");
    this.compare("rss", `RssAnon of mm ${mm.id}`, mm.rss[RssKind.anon]!, anon, "entries");
    this.compare("rss", `RssFile of mm ${mm.id}`, mm.rss[RssKind.file]! + mm.rss[RssKind.shmem]!, file, "entries");
    this.compare("rss", `VmSwap of mm ${mm.id}`, mm.rss[RssKind.swap]!, swap, "entries");
  }

  /** What is known with a large folio of who maps it must allow for an entry of `mm`. */
  private ownedBy(mm: Mm, folio: number): void {
    const { memmap } = this.k.m;
    if (!memmap.isLarge(folio)) return;
    const other = this.owners.get(folio) ?? mm.id;
    if (other !== mm.id && !memmap.owners.maybeShared(folio)) {
      this.fail("mapcount", `${this.frame(folio)} says that one address space has all its mappings, and mm ${other} and mm ${mm.id} have some`, { page: folio });
    }
    this.owners.set(folio, mm.id);
  }

  /** An entry of a mapping of huge pages; what it stands for, in 4 KiB pages. */
  private hugetlbEntry(mm: Mm, vpn: number, flags: number, pfn: number): number {
    const { m } = this.k;
    if (this.k.pteMarker.pteMarker(flags, pfn) !== 0) return 0;
    const folio = m.memmap.pfnToPage(pfn);
    const pages = m.memmap.folioPages(folio);
    const wrong = notGranted(mm, vpn, flags);
    if (wrong !== null) this.fail("vma", `the entry at page ${hex(vpn)} ${wrong}`);
    if (!ptePresent(flags)) return pages;
    if (!m.memmap.has(folio, PG.hugetlb) || vpn % pages !== 0) {
      this.fail("mapcount", `huge pages at page ${hex(vpn)} map ${this.frame(folio)}, which begins no hugetlb folio of that size`);
    }
    this.referenced[folio]!++;
    this.mappedWhole.set(folio, (this.mappedWhole.get(folio) ?? 0) + 1);
    const missed = missedByRmap(this.k, mm, vpn, folio);
    if (missed !== null) this.fail("rmap", `no reverse walk from ${this.frame(folio)} comes to its mapping at page ${hex(vpn)}: ${missed}`);
    return pages;
  }

  private pageBooks(): void {
    const { memmap, batches, refs } = this.k.m;
    let anonMapped = 0;
    let mlocked = 0;
    for (let page = 0; page < memmap.nrPages; page++) {
      const refcount = memmap.refcount[page]!;
      // A free page: most are.
      if (refcount === 0 && memmap.mapcount[page] === 0 && this.referenced[page] === 0 && memmap.order[page] === 0 && (memmap.flags[page]! & ~PG.buddy) === 0) continue;
      const folio = memmap.folioOf(page);
      if (folio === page && memmap.has(page, PG.mlocked)) mlocked += memmap.folioPages(page);
      const isHugetlb = memmap.has(folio, PG.hugetlb);
      if (memmap.pageMapcount(page) > 0 && memmap.isAnon(folio) && !isHugetlb) anonMapped++;
      if (refcount === 0 && this.referenced[page] === 0 && memmap.mapcount[page] === 0) continue;
      if (memmap.has(page, PG.reserved) || folio === this.k.m.thp.hugeZeroFolio) continue;
      if (memmap.mapcount[page] !== this.mapped[page]) {
        this.fail("mapcount", `${this.frame(page)} has a map count of ${memmap.mapcount[page]}, and ${this.mapped[page]} entries map it`, { page });
      }
      if (folio !== page) {
        if (refcount !== 0) this.fail("refcount", `${this.frame(page)} is no folio's first page, and has ${refcount} references`, { page });
        continue;
      }
      this.folioBooks(folio);
      this.pinBooks(folio);
      const cache = memmap.cacheRefs(page);
      const inBatches = batches.references(page);
      const inFlight = refs?.count(page) ?? 0;
      const table = memmap.has(page, PG.table) ? 1 : 0;
      // What is broken is kept by a reference of nobody's.
      const poisoned = memmap.has(page, PG.hwpoison) ? 1 : 0;
      const backing = devicePageOf(this.k, page) === NO_PAGE ? 0 : 1;
      const expected = this.referenced[page]! + cache + inBatches + inFlight + table + poisoned + backing;
      if (refcount !== expected) {
        this.fail(
          "refcount",
          `${this.frame(page)} has ${refcount} references, and ${expected} holders: ${this.referenced[page]} entries, ` +
            `${cache} swap or page cache, ${inBatches} batches, ${inFlight} in flight${this.heldText(page)}`,
          { page },
        );
      }
      if (memmap.has(page, PG.anonExclusive) && memmap.pageMapcount(page) > 1) {
        this.fail("anon-exclusive", `${this.frame(page)} is exclusive to one process, and mapped ${memmap.pageMapcount(page)} times`, { page });
      }
      if (memmap.has(page, PG.locked)) this.fail("leak", `the folio lock of ${this.frame(page)} is still held`, { page });
    }
    this.compare("lru", "Mlocked", this.k.m.vmstat.pages.mlock, mlocked, "pages of folios that are so marked");
    this.compare("rss", "the number of mapped anonymous pages", this.k.m.vmstat.pages.anonMapped, anonMapped, "such pages");
  }

  /** A large folio's counts are the sums of its pages'. */
  private folioBooks(folio: number): void {
    const { memmap } = this.k.m;
    const whole = this.mappedWhole.get(folio) ?? 0;
    const pages = memmap.folioPages(folio);
    if (pages === 1) return;
    let total = whole;
    for (let page = folio; page < folio + pages; page++) total += this.mapped[page]!;
    this.compare("mapcount", `the whole map count of ${this.frame(folio)}`, memmap.entireMapcount(folio), whole, "entries for 2 MiB");
    this.compare("mapcount", `the map count of the folio at ${this.frame(folio)}`, memmap.folioMapcount(folio), total, "entries");
  }

  /** What files have, and what folios say of it. */
  private fileBooks(): void {
    const { m } = this.k;
    const { memmap } = m;
    let pages = 0;
    for (const mapping of m.mappings.all()) {
      const where = (index: number): string => `index ${index} of the file with inode ${mapping.host.ino}`;
      for (const [index, entry] of mapping.entries) {
        if (xaIsValue(entry)) {
          const slot = radixToSwpEntry(entry);
          if (slot < m.swap.slots) this.swapEntries[slot]!++;
          else this.fail("swap", `${where(index)} is in swap slot ${slot}, which does not exist`);
          continue;
        }
        const folio = memmap.folioOf(entry);
        if (!memmap.has(folio, PG.hugetlb)) pages++;
        if (memmap.mapping[folio] !== mapping.id << 1 || memmap.index[folio]! + (entry - folio) !== index) {
          this.fail("page-cache", `${this.frame(entry)} is at ${where(index)}, and does not say so`, { page: entry });
        }
      }
      for (const vma of mapping.vmas) {
        if (vma.detached || !vma.mm.vmas.includes(vma)) this.fail("rmap", `the file with inode ${mapping.host.ino} knows of a VMA that is gone`);
      }
    }
    this.compare("page-cache", "the number of pages of files", m.vmstat.pages.filePages, pages, "such pages");
  }

  /** References that pipes have to the pages that are in them. */
  private pipeBooks(): void {
    const { memmap, processes } = this.k.m;
    const seen = new Set<number>();
    for (const { files } of processes.values()) {
      for (const [, file] of files.entries()) {
        if (file.inode.kind !== "pipe" || seen.has(file.inode.ino)) continue;
        seen.add(file.inode.ino);
        for (const page of splicedPages(file)) this.referenced[memmap.folioOf(page)]!++;
      }
    }
  }

  private swapBooks(): void {
    const { swap, memmap } = this.k.m;
    let used = 0;
    for (let offset = 1; offset < swap.slots; offset++) {
      const folio = swap.cache[offset]!;
      if (swap.count[offset] !== 0 || folio !== NO_PAGE) used++;
      if (swap.count[offset] !== this.swapEntries[offset]) {
        this.fail("swap", `swap slot ${offset} has a count of ${swap.count[offset]}, and ${this.swapEntries[offset]} entries`);
      }
      if (folio !== NO_PAGE && (!memmap.has(folio, PG.swapcache) || !this.holdsSlot(folio, offset))) {
        this.fail("swap", `the swap cache has ${this.frame(folio)} for slot ${offset}, which says otherwise`);
      }
    }
    this.compare("swap", "the number of used swap slots", swap.used, used, "slots in use");
  }

  private holdsSlot(folio: number, offset: number): boolean {
    const { memmap } = this.k.m;
    const index = offset - memmap.private[folio]!;
    return index >= 0 && index < memmap.folioPages(folio);
  }

  private memcgBooks(): void {
    const { m } = this.k;
    const { memmap, swap } = m;
    const { chargedPages, chargedSlots } = this;
    chargedPages.fill(0);
    chargedSlots.fill(0);
    for (let page = 0; page < memmap.nrPages; page++) {
      const id = memmap.memcg[page]!;
      if (id !== 0) chargedPages[id] = (chargedPages[id] ?? 0) + memmap.folioPages(page);
    }
    for (let offset = 1; offset < swap.slots; offset++) {
      const id = swap.memcg[offset]!;
      if (id !== 0 && (swap.count[offset] !== 0 || swap.cache[offset] !== NO_PAGE)) chargedSlots[id] = (chargedSlots[id] ?? 0) + 1;
    }
    this.subtreeBooks(m.memcgs.root);
  }

  /** Pages and slots that a cgroup and those below it should have charged go to `chargedPages` and `chargedSlots`. */
  private subtreeBooks(memcg: Memcg): void {
    const { chargedPages, chargedSlots } = this;
    const stock = this.k.m.memcgs.stockOf(memcg);
    let pages = stock + (chargedPages[memcg.id] ?? 0);
    let slots = chargedSlots[memcg.id] ?? 0;
    for (const child of memcg.children.values()) {
      this.subtreeBooks(child);
      pages += chargedPages[child.id] ?? 0;
      slots += chargedSlots[child.id] ?? 0;
    }
    chargedPages[memcg.id] = pages;
    chargedSlots[memcg.id] = slots;
    if (memcg.usage === pages && memcg.swapUsage === slots) return;
    this.compare("memcg", `memory.current of ${memcg.path}`, memcg.usage, pages, `pages charged, ${stock} in its stock`);
    this.compare("memcg", `memory.swap.current of ${memcg.path}`, memcg.swapUsage, slots, "slots");
  }

  private tlbBooks(): void {
    const { m } = this.k;
    for (const e of m.sched.executors) {
      const mm = e.activeMm;
      if (e.isDevice || mm === null || mm.pgd < 0) continue;
      const { tlb } = e;
      for (let slot = 0; slot < tlb.entries; slot++) {
        const read = tlb.readTag[slot]!;
        const write = tlb.writeTag[slot]!;
        const vpn = write >= 0 ? write : read;
        if (vpn < 0) continue;
        const ptep = m.pt.find(mm.pgd, vpn);
        const flags = ptep < 0 ? 0 : m.pt.flags(ptep);
        const need = PTE.V | (write >= 0 ? PTE.W : 0) | (read >= 0 ? PTE.R : 0);
        if ((flags & need) === need && m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)) === tlb.frame[slot]) continue;
        this.fail("stale-tlb", `${e.name} still has ${this.frame(tlb.frame[slot]!)} in its TLB for page ${hex(vpn)}, which the page table does not grant`, { page: tlb.frame[slot], vpn, mm: mm.id });
      }
    }
  }

  /* Helpers. */

  private walk(mm: Mm, visit: Visit, visitHuge: Visit): void {
    if (mm.pgd < 0) return;
    const { pt } = this.k.m;
    for (let i = pt.nextUsed(mm.pgd, 0); i < USER_ROOT_ENTRIES; i = pt.nextUsed(mm.pgd, i + 1)) {
      const mid = pt.child(mm.pgd * PTRS + i);
      if (mid < 0) {
        visitHuge(mm, i << 18, pt.flags(mm.pgd * PTRS + i), pt.pfn(mm.pgd * PTRS + i));
        continue;
      }
      for (let j = pt.nextUsed(mid, 0); j < PTRS; j = pt.nextUsed(mid, j + 1)) {
        const entry = mid * PTRS + j;
        if (pt.isLeaf(entry)) {
          visitHuge(mm, (i << 18) | (j << 9), pt.flags(entry), pt.pfn(entry));
          continue;
        }
        const last = pt.child(entry);
        for (let l = pt.nextUsed(last, 0); l < PTRS; l = pt.nextUsed(last, l + 1)) {
          const ptep = last * PTRS + l;
          visit(mm, (i << 18) | (j << 9) | l, pt.flags(ptep), pt.pfn(ptep));
        }
      }
    }
  }

  private compare(kind: ViolationKind, what: string, is: number, expected: number, of: string): void {
    if (is !== expected) this.fail(kind, `${what} is ${is}, and there are ${expected} ${of}`);
  }

  private freeFrames(): number {
    const { zones, hugetlb } = this.k.m;
    return zones.freePages() + zones.pcpPages() + hugetlb.totalPages();
  }

  /**
   * Whether the allocator has a frame. Reclaim flushes the TLBs once for many folios: when nobody can
   * take a reference to them any more, and before it frees them. Until then a stale translation reads
   * what was there, which no one else has.
   */
  private isGivenBack(page: number): boolean {
    const { memmap } = this.k.m;
    const flags = memmap.flags[memmap.folioOf(page)]!;
    return this.isFree(page) && ((flags & ~PG.buddy) === 0 || (flags & PG.hugetlb) !== 0);
  }

  private isFree(page: number): boolean {
    const { memmap } = this.k.m;
    return memmap.refcount[memmap.folioOf(page)] === 0 && !memmap.has(page, PG.reserved);
  }

  private heldText(page: number): string {
    const holders = this.k.m.refs?.holders(page) ?? [];
    return holders.length === 0 ? "" : ` (${holders.join(", ")})`;
  }

  private frame(page: number): string {
    return `frame ${page}`;
  }

  private cpu(executor: number): string {
    const e = this.k.m.sched.executors[executor]!;
    return `${e.name} (${e.current?.comm ?? "idle"})`;
  }

  private task(): string {
    return this.k.m.current?.comm ?? "nobody";
  }

  private fail(kind: ViolationKind, message: string, about?: About): void {
    this.report({ kind, message, about });
  }
}

/** The page number for which a TLB has a frame, or -1. */
function cachedVpn(e: Executor, page: number): number {
  const { tlb } = e;
  for (let slot = 0; slot < tlb.entries; slot++) {
    if (tlb.frame[slot] !== page) continue;
    const vpn = Math.max(tlb.readTag[slot]!, tlb.writeTag[slot]!, tlb.execTag[slot]!);
    if (vpn >= 0) return vpn;
  }
  return -1;
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}
