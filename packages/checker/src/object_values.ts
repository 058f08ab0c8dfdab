import { AddressSpace, NO_PAGE, RwSem, Space, SpinLock, StableChain, type Executor, type Machine, type Mm, type RmapItem, type Vma } from "@faultline/kernel";
import type { Seen } from "./call_frames.js";
import { HashChains } from "./hash64.js";
import type { ValueHash } from "./value_hash.js";

/** Ranges of an address space in `tableObject`. */
const RANGES_PER_MM = 2 ** 17;
/** Run queues of executors, in the space of tasks. */
export const QUEUES = 1_000_000;
/** What the scenario's threads share besides memory. Numbers of spaces are below it. */
export const SCENARIO_SPACE = 63;
const WORDS_PER_FRAME = 1024;

/** Locks that guard nothing but what has operations of its own. What others guard is not known, unless it is spelt out below. */
const TRANSPARENT_LOCKS = new Set(["ptl", "page_table_lock", "dmirror", "map_changing_lock"]);

/** Locks that guard VMAs. */
const VMA_LOCKS = new Set(["mmap_lock", "i_mmap_rwsem", "anon_vma"]);

/** What stands in the machine behind the numbers of objects: a hash of what it has been shown since `reset`, in order. */
export class ObjectValues {
  private readonly chain = new HashChains(1);

  constructor(
    private readonly m: Machine,
    /** The map of swap slots and the swap cache themselves, where the kernel has been given others. */
    private readonly swapCount: Uint8Array,
    private readonly swapCache: Int32Array,
    /** Who runs, and what that task has seen: all that is known of some objects is who wrote to them. */
    private readonly running: Seen,
    private readonly anything: ValueHash,
  ) {}

  get lo(): number {
    return this.chain.lo[0]!;
  }

  get hi(): number {
    return this.chain.hi[0]!;
  }

  reset(): void {
    this.chain.reset();
  }

  /** A 32-bit integer. */
  add(word: number): void {
    this.chain.add(0, word);
  }

  /** Any integer. */
  see(value: number): void {
    const low = value | 0;
    this.chain.add(0, low);
    if (low !== value) this.chain.add(0, Math.floor(value / 2 ** 32));
  }

  seeAny(value: unknown): void {
    this.anything.begin();
    this.anything.value(value);
    this.see(this.anything.lo);
    this.see(this.anything.hi);
  }

  /** All that is known of an object is who wrote to it, and what that task had seen. */
  history(): void {
    this.chain.add(0, this.running.lo);
    this.chain.add(0, this.running.hi);
  }

  /** What code may read of an object behind an operation on it. */
  ofObject(space: number, object: number): void {
    const { m } = this;
    const { memmap, pt, swap } = m;
    switch (space) {
      case Space.Pte:
        this.see(pt.flags(object));
        this.see(pt.pfn(object));
        return;
      case Space.Table:
        return this.ofTable(object);
      case Space.Lock:
        return this.ofLock(object);
      case Space.RefCount:
        this.see(memmap.refcount[object]!);
        this.see(memmap.pincount[object]!);
        return;
      case Space.MapCount:
        this.see(memmap.mapcount[object]!);
        if (memmap.order[object] !== 0) {
          for (let i = 0; i < memmap.folioPages(object); i++) this.see(memmap.mapcount[object + i]!);
          for (const value of memmap.owners.valuesOf(object)) this.see(value);
        }
        return;
      case Space.FolioFlags:
        this.see(memmap.flags[object]!);
        return this.ofFolio(object);
      case Space.Frame:
        return this.ofFrame(object);
      case Space.Tlb:
        return this.ofTlb(m.sched.executors[object]!);
      case Space.VmaTree:
      case Space.VmaLock:
      case Space.VmaSeq:
        // Part of the key of a state, and shown where VMAs are looked up.
        return;
      case Space.Notifier:
        for (const mm of m.mms) if (mm.id === object) this.ofNotifiers(mm);
        return;
      case Space.MmUsers:
        for (const mm of m.mms) if (mm.id === object) this.see(mm.users);
        return;
      case Space.NotifierList:
        for (const mm of m.mms) if (mm.id === object) for (const { users } of mm.notifiers) this.see(users ?? 0);
        return;
      case Space.NotifierSeq:
        // Only how sequence numbers relate matters, which is part of the key of a state.
        return;
      case Space.DeviceTable:
        return this.ofDeviceTable(object);
      case Space.SwapMap:
        this.see(this.swapCount[object]!);
        return;
      case Space.SwapCache:
        this.see(this.swapCache[object]!);
        return;
      case Space.SwapSlot:
        for (const word of swap.wordsOf(object)) this.see(word);
        return;
      case Space.PageCache:
        this.see(m.mappings.get(Math.floor(object / AddressSpace.OBJECTS))?.at(object % AddressSpace.OBJECTS) ?? NO_PAGE);
        return;
      case Space.TlbBatch:
        for (const mm of m.mms) {
          if (mm.id !== object) continue;
          // Whoever flushes remembers how much was pending.
          this.see(mm.tlbBatchPending);
          this.see(mm.tlbBatchFlushed);
        }
        return;
      case Space.LruBatch:
        for (const batch of m.batches.of(object)) {
          this.see(-1);
          for (const folio of batch) this.see(folio);
        }
        this.see(m.batches.disabled);
        return;
      case Space.Pcp:
        for (const page of m.zones.pcpPagesInOrder(object)) this.see(page);
        this.see(m.memcgs.stockPages(object));
        return;
      case Space.Memcg: {
        const memcg = m.memcgs.get(object);
        this.see(memcg.usage);
        this.see(memcg.swapUsage);
        return;
      }
      case Space.Rcu:
        if (object !== 0) return this.history();
        this.see(m.rcu.pending);
        return;
      case SCENARIO_SPACE:
        return;
      case Space.Stats:
        // Sums, whatever the order in which they are added to.
        return;
      case Space.Userfault:
        return this.ofUserfaultfd(object);
      case Space.Device:
        return this.ofDevice(object);
      case Space.Ksm:
        return this.ofKsm();
      case Space.Thp:
        for (const folio of m.thp.deferredSplit) this.see(folio);
        return;
      case Space.Task:
        // Who waits, and who was woken, follows from what tasks are about to do.
        if (object >= QUEUES) return;
        return this.history();
      default:
        return this.history();
    }
  }

  private ofUserfaultfd(id: number): void {
    const ctx = this.m.userfaultfds.find((one) => one.id === id);
    if (ctx === undefined) return;
    this.see(ctx.references * 4 + (ctx.initialized ? 2 : 0) + (ctx.released ? 1 : 0));
    this.see(ctx.features);
    this.see(ctx.mmapChanging);
    for (const list of [ctx.pending, ctx.faults]) {
      this.see(-1);
      for (const { task, msg } of list) {
        this.see(task.id);
        this.see(msg.address);
        this.see(msg.flags);
      }
    }
    for (const { task, msg, taken, done } of ctx.events) {
      this.see(task.id);
      this.see(msg.event * 4 + (taken ? 2 : 0) + (done ? 1 : 0));
    }
  }

  /** All of a folio's flags and fields but the flags of its first page. */
  ofFolio(folio: number): void {
    const { memmap, folioHandoffs } = this.m;
    for (let i = 1; i < memmap.folioPages(folio); i++) this.see(memmap.flags[folio + i]!);
    this.see(memmap.mapping[folio]!);
    if (memmap.isKsm(folio)) this.ofStableNode(folio);
    this.see(memmap.index[folio]!);
    this.see(memmap.private[folio]!);
    if (memmap.isZoneDevice(folio)) for (const { memory } of this.m.devices) this.see(memory?.notes.get(folio) ?? 0);
    if (memmap.lastCpuPid !== null) this.see(memmap.lastCpuPid[folio]!);
    for (const { task } of folioHandoffs.get(folio) ?? []) this.see(task.id);
  }

  /** Who maps a KSM page is found under its lock. */
  private ofStableNode(folio: number): void {
    const node = this.m.ksm.nodes.get(this.m.memmap.ksmNode(folio));
    if (node === undefined) return;
    this.see(node.page);
    for (const item of node.items) this.ofRmapItem(item);
  }

  private ofRmapItem({ mm, vpn, anonVma, checksum, age, remainingSkips, scan, node }: RmapItem): void {
    for (const value of [mm.id, vpn, anonVma?.id ?? 0, checksum, age, remainingSkips, scan, node?.id ?? 0]) this.see(value);
  }

  /** What ksmd knows, how far it has come, and what it is told to do. */
  private ofKsm(): void {
    const { ksm } = this.m;
    for (const value of [ksm.run, Number(ksm.offlining), ksm.scan, Number(ksm.useZeroPages), Number(ksm.smartScan), ksm.maxPageSharing, ksm.nextNodeId]) this.see(value);
    if (ksm.cursor !== null) for (const value of [ksm.cursor.slot.mm.id, ksm.cursor.vpn, ksm.cursor.item]) this.see(value);
    for (const { mm, items } of ksm.slots) {
      this.see(-1 - mm.id);
      for (const item of items) this.ofRmapItem(item);
    }
    for (const entry of ksm.stable.flat()) {
      this.see(-1);
      for (const { id, page, items } of entry instanceof StableChain ? entry.dups : [entry]) {
        this.see(id);
        this.see(page);
        for (const item of items) this.ofRmapItem(item);
      }
    }
    for (const tree of ksm.unstable) for (const item of tree) this.ofRmapItem(item);
  }

  private ofTable(object: number): void {
    const { m } = this;
    const range = object % RANGES_PER_MM;
    const table = Math.floor(object / RANGES_PER_MM);
    for (const mm of m.mms) {
      if (mm.id !== table >> 1 || mm.pgd < 0) continue;
      const entry = (table & 1) === 0 ? m.pt.pmd(mm.pgd, range << 9) : mm.pgd * 512 + range;
      this.see(entry);
      if (entry < 0) continue;
      this.see(m.pt.flags(entry));
      this.see(m.pt.pfn(entry));
    }
  }

  private ofLock(id: number): void {
    const lock = this.m.locks.byId[id];
    if (lock instanceof SpinLock) this.see(lock.owner === null ? -1 : lock.owner.id);
    else if (lock instanceof RwSem) {
      this.see(lock.readers);
      this.see(lock.writer === null ? -1 : lock.writer.id);
      for (const { id: waiter } of lock.waitingTasks()) this.see(waiter);
    }
    if (!VMA_LOCKS.has(lock?.cls ?? "")) this.ofGuarded(id);
  }

  ofGuarded(id: number): void {
    const lock = this.m.locks.byId[id];
    const cls: string = lock?.cls ?? "";
    if (lock === undefined) this.history();
    else if (cls === "lruvec") this.ofLru(lock);
    else if (VMA_LOCKS.has(cls)) for (const mm of this.m.mms) this.ofVmas(mm);
    else if (cls === "device_mirror") this.ofMirror(id);
    else if (cls === "zone") this.ofZones();
    else if (cls === "swap") this.ofSwap();
    else if (cls === "ksm_thread_mutex") this.ofKsm();
    else if (!TRANSPARENT_LOCKS.has(cls)) this.history();
  }

  /** What a driver keeps for a mirror is guarded by its mutex. */
  private ofMirror(lock: number): void {
    for (const { mutex, data } of this.m.mirrors) if (mutex.id === lock) this.seeAny(data);
  }

  private ofZones(): void {
    for (const zone of this.m.zones.list) {
      this.see(zone.free);
      this.see(zone.pcpDisabled);
      for (const page of zone.freePagesInOrder()) this.see(page);
    }
  }

  private ofSwap(): void {
    const { swap } = this.m;
    this.see(swap.used);
    this.see(swap.nextSlot);
    for (let offset = 0; offset < swap.slots; offset++) {
      this.see(this.swapCount[offset]!);
      this.see(this.swapCache[offset]!);
    }
  }

  private ofLru(lock: SpinLock | RwSem): void {
    const { memcgs, memmap } = this.m;
    for (const { lruvec } of memcgs.root.subtree()) {
      if (lruvec.lock !== lock) continue;
      for (const list of lruvec.lists) {
        this.see(-1);
        for (let folio = list.head; folio >= 0; folio = memmap.lruNext[folio]!) this.see(folio);
      }
    }
  }

  private ofFrame(frame: number): void {
    const { words } = this.m.ram;
    let lo = 0;
    const end = (frame + 1) * WORDS_PER_FRAME;
    for (let i = frame * WORDS_PER_FRAME; i < end; i++) {
      const word = words[i]!;
      if (word !== 0) lo = Math.imul(lo ^ word ^ (i << 20), 0x9e3779b1) ^ (lo >>> 15);
    }
    this.see(lo);
  }

  private ofTlb({ tlb }: Executor): void {
    for (let slot = 0; slot < tlb.entries; slot++) {
      const tags = [tlb.readTag[slot]!, tlb.writeTag[slot]!, tlb.execTag[slot]!];
      if (tags.every((tag) => tag < 0)) continue;
      this.see(slot);
      for (const tag of tags) this.see(tag);
      this.see(tlb.frame[slot]!);
    }
  }

  ofVmas(mm: Mm): void {
    for (const vma of mm.vmas) this.seeVma(vma);
  }

  seeVma(vma: Vma): void {
    this.see(vma.id);
    this.see(vma.startVpn);
    this.see(vma.endVpn);
    this.see(vma.flags);
    this.see(vma.pgoff);
    this.see(vma.anonPgoff);
    this.see(vma.anonVma === null ? 0 : vma.anonVma.id);
    this.see(vma.uffd === null ? 0 : vma.uffd.id);
    if (vma.policy !== null) for (const value of Object.values(vma.policy)) this.see(value as number);
    this.see(vma.anonId * 2 + (vma.forked ? 1 : 0));
  }

  ofVma(id: number): void {
    for (const mm of this.m.mms) {
      for (const vma of mm.vmas) {
        if (vma.id !== id) continue;
        this.seeVma(vma);
        this.see(vma.lockSeq === mm.lockSeq ? 1 : 0);
        this.see(vma.readers);
        return;
      }
    }
    this.see(-1);
  }

  ofDevice(id: number): void {
    const { opened, engine, data, iommu } = this.m.devices[id]!;
    this.see(opened);
    for (const entries of iommu === null ? [] : [iommu.table, iommu.iotlb]) {
      this.see(-1);
      for (const [iova, { page, write }] of [...entries].sort(([a], [b]) => a - b)) {
        this.see(iova);
        this.see(page * 2 + (write ? 1 : 0));
      }
    }
    for (const { iova, pages } of iommu?.allocated ?? []) this.see(iova * 1024 + pages);
    this.seeAny(data);
    if (engine === null) return;
    // Who waits for a job knows its number: how many there were is told apart.
    this.see(engine.queued);
    this.see(engine.done);
    for (const job of engine.queue) this.seeAny(job);
  }

  private ofNotifiers(mm: Mm): void {
    this.see(mm.activeInvalidations);
    this.see(mm.invalidateSeq & 1);
    this.see(mm.intervals.length);
    this.see(mm.deferredIntervals.length);
  }

  private ofDeviceTable(id: number): void {
    for (const { id: tlb, bound, entries } of this.m.secondaryTlbs) {
      if (tlb !== id) continue;
      this.see(bound ? 1 : 0);
      for (const [vpn, { page, write }] of [...entries].sort(([a], [b]) => a - b)) {
        this.see(vpn);
        this.see(page * 2 + (write ? 1 : 0));
      }
    }
    for (const { notifier, table, migrations } of this.m.mirrors) {
      if (notifier.id !== id) continue;
      this.see(table.size);
      this.see(migrations);
      if (table.size === 0) continue;
      for (const [vpn, { page, write, atomic }] of table) {
        this.see(vpn);
        this.see(page * 4 + (write ? 1 : 0) + (atomic ? 2 : 0));
      }
    }
  }
}
