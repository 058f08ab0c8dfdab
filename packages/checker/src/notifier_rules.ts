import { Event, NotifyEvent, type DeviceMirror, type Machine, type Task } from "@faultline/kernel";
import { keptByIommu } from "./iommu_rules.js";
import type { About, Finding } from "./violation.js";

/** What a task knows of the range that it is reading for a mirror. */
interface Reading {
  /** The sequence that mmu_interval_read_begin() gave it. */
  begun: number | null;
  /** What mmu_interval_read_retry() was asked with last, and said; null where it was not asked since it began. */
  asked: { readonly seq: number; readonly retry: boolean; locked: boolean } | null;
}

/**
 * The protocol between the kernel's notifiers and a driver that mirrors an address space (Documentation/mm/hmm.rst,
 * mmu_interval_read_begin()): who breaks it is told which rule it is. What a driver may get away with as long as nothing is
 * invalidated is told where something is, so that the report has the race.
 *
 *  - A device's table changes only under the lock that the driver's invalidate callback takes.
 *  - Before a translation is entered, mmu_interval_read_retry() is asked under that lock, with what
 *    mmu_interval_read_begin() gave, and says no. Pages that the driver is migrating itself need not be asked for:
 *    a migration entry, or the lock of a page that was made there, keeps everybody else away.
 *  - Who enters it has a user's reference to the address space (mmget_not_zero()): after its release nobody is told anything.
 *  - When the callback returns, it has called mmu_interval_set_seq(), and the device has nothing of the range.
 *  - Nothing is left in the table when the address space is released, when a mirror is given up, and when
 *    the last file of a device is closed.
 */
export class NotifierRules {
  private readonly readings = new Map<number, Map<number, Reading>>();

  constructor(
    private readonly m: Machine,
    private readonly mirrors: readonly DeviceMirror[],
    /** Whether an entry of the CPU's is one of a page on its way, or of what a migration has made there: `page`. */
    private readonly migrates: (mirror: DeviceMirror, vpn: number, page: number) => boolean,
    private readonly report: (finding: Finding) => void,
  ) {}

  /** An execution begins. */
  begin(): void {
    if (this.readings.size > 0) this.readings.clear();
  }

  /** A task releases a lock: what it was told under that may be out of date. */
  released(task: Task, id: number): void {
    const mine = this.readings.get(task.id);
    if (mine === undefined) return;
    for (const { mutex, notifier } of this.mirrors) {
      const asked = mutex.id === id ? mine.get(notifier.id)?.asked : null;
      if (asked != null) asked.locked = false;
    }
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e = 0, f = 0): void {
    switch (event) {
      case Event.IntervalReadBegin:
        this.readingOf(a).begun = b;
        this.readingOf(a).asked = null;
        return;
      case Event.IntervalReadRetry:
        this.readingOf(a).asked = { seq: b, retry: c !== 0, locked: this.holds(this.mirrorOf(a)) };
        return;
      case Event.IntervalSetSeq:
        return this.dropped(this.mirrorOf(a), "sets the sequence");
      case Event.DeviceMap:
        return this.mapped(this.mirrorOf(a), b, c);
      case Event.DeviceUnmap:
        return this.dropped(this.mirrorOf(a), `drops translations from page ${hex(b)} on from the table`, b);
      case Event.IntervalInvalidated:
        return this.invalidated(this.mirrorOf(a), b, c, d, e !== 0, f !== 0);
      case Event.MirrorFree:
        return this.freed(this.mirrorOf(a));
      case Event.MmRelease:
        for (const mirror of this.mirrors) if (mirror.mm.id === a) this.empty(mirror, () => true, `the address space has gone (mmu_notifier_release)`);
        return;
      case Event.DeviceClose:
        return this.closed(a, b);
      default:
    }
  }

  /** A translation is entered: see the rules above. */
  private mapped(mirror: DeviceMirror | undefined, vpn: number, page: number): void {
    if (mirror === undefined) return;
    const { mm, notifier, device } = mirror;
    const { begun, asked } = this.readingOf(notifier.id);
    const fail = (why: string): void => this.fail(`${this.task()} enters frame ${page} at page ${hex(vpn)} in the table of ${device.name}${why}`, { mm: mm.id, vpn, page });
    if (mm.users === 0) return fail(", and nobody uses the address space any more: mmget_not_zero() was not called, or has said so");
    const read = begun ?? asked?.seq ?? null;
    const underWay = notifier.invalidateSeq === mm.invalidateSeq && (mm.invalidateSeq & 1) !== 0;
    if (read !== null && read === notifier.invalidateSeq && !underWay && !this.heldByOther(mirror)) return;
    if (this.subscribed(mirror) && !this.holds(mirror)) return fail(` without ${lockOf(mirror)}, which its invalidate callback takes`);
    if (this.migrates(mirror, vpn, page)) return;
    const waited = "an invalidation that is under way was not waited for";
    if (begun === null) return fail(`, and has not called mmu_interval_read_begin(): ${waited}`);
    if (asked === null) return fail(", and has not asked mmu_interval_read_retry() whether the range was invalidated since mmu_interval_read_begin(): it was");
    if (asked.seq !== begun) return fail(`, and has asked mmu_interval_read_retry() with a sequence that mmu_interval_read_begin() did not give: ${waited}`);
    if (!asked.locked) return fail(`, and has not asked mmu_interval_read_retry() since it took ${lockOf(mirror)}: the answer that it had before is out of date`);
    if (asked.retry) fail(", though mmu_interval_read_retry() said that the range was invalidated since mmu_interval_read_begin()");
  }

  /** A callback changes what the mirror's lock guards, while somebody else relies on it. */
  private dropped(mirror: DeviceMirror | undefined, what: string, vpn?: number): void {
    if (mirror === undefined || !this.subscribed(mirror) || !this.heldByOther(mirror)) return;
    const { mm, mutex, device } = mirror;
    const where = this.m.current?.invalidating === mm ? "the invalidate callback" : this.task();
    this.fail(`${where} ${what} of ${device.name} without ${lockOf(mirror)}, which ${mutex.owner!.comm} holds just now`, { mm: mm.id, vpn });
  }

  private invalidated(mirror: DeviceMirror | undefined, start: number, end: number, event: NotifyEvent, owned: boolean, done: boolean): void {
    if (mirror === undefined) return;
    const { mm, notifier, device } = mirror;
    if (!done) {
      // One that did nothing has said so, and who must not wait knows. Others go on.
      if (this.m.current!.nonBlockCount > 0) return;
      return this.fail(`the invalidate callback of ${device.name} has returned false for a range that is blockable (mmu_notifier_range_blockable()): the entries change all the same`, { mm: mm.id, vpn: start });
    }
    // What a driver does itself it may know better.
    if (owned) return;
    if (notifier.invalidateSeq !== mm.invalidateSeq) {
      return this.fail(`the invalidate callback of ${device.name} has returned, and has not called mmu_interval_set_seq(): who reads the page table just now will not read it again`, { mm: mm.id, vpn: start });
    }
    const why = event === NotifyEvent.RELEASE ? "its invalidate callback was told that the address space goes away (MMU_NOTIFY_RELEASE)" : "its invalidate callback for the range has returned";
    this.empty(mirror, (vpn) => vpn >= start && vpn < end, why);
    this.unlinked(mirror, why);
  }

  private freed(mirror: DeviceMirror | undefined): void {
    if (mirror === undefined) return;
    const { mm, device } = mirror;
    this.empty(mirror, () => true, "its driver has given the mirror up");
    this.unlinked(mirror, "its driver has given the mirror up");
    if (this.subscribed(mirror)) this.fail(`the driver of ${device.name} has given up a mirror of mm ${mm.id} whose interval notifier is still subscribed: mmu_interval_notifier_remove() was not called`, { mm: mm.id });
  }

  private closed(device: number, open: number): void {
    if (open > 0) return;
    for (const mirror of this.mirrors) {
      if (mirror.device.id !== device) continue;
      this.empty(mirror, () => true, "its last file has been closed (release)");
      this.fail(`the last file of ${mirror.device.name} has been closed (release), and its mirror of mm ${mirror.mm.id} is still there: its driver has not given it up`, { mm: mirror.mm.id });
    }
  }

  /** Nothing of a mirror's table may be left where `within` says so. */
  private empty(mirror: DeviceMirror | undefined, within: (vpn: number) => boolean, why: string): void {
    if (mirror === undefined || mirror.table.size === 0) return;
    for (const [vpn, { page }] of mirror.table) {
      if (!within(vpn)) continue;
      return this.fail(`${mirror.device.name} still maps frame ${page} at page ${hex(vpn)} after ${why}`, { mm: mirror.mm.id, vpn, page });
    }
  }

  /** A device behind an IOMMU reaches nothing by it that it may not. */
  private unlinked({ device, mm }: DeviceMirror, why: string): void {
    const kept = keptByIommu(this.mirrors, device);
    if (kept !== null) this.fail(`the IOMMU of ${device.name} still maps frame ${kept.page} at IOVA ${hex(kept.iova)} after ${why}: hmm_dma_unmap_pfn() was not called`, { mm: mm.id, page: kept.page });
  }

  private mirrorOf(notifier: number): DeviceMirror | undefined {
    return this.mirrors.find((mirror) => mirror.notifier.id === notifier);
  }

  private holds(mirror: DeviceMirror | undefined): boolean {
    return mirror !== undefined && mirror.mutex.owner === this.m.current;
  }

  private heldByOther({ mutex }: DeviceMirror): boolean {
    return mutex.owner !== null && mutex.owner !== this.m.current;
  }

  /** Before and after that, nobody else reaches it. */
  private subscribed({ mm, notifier }: DeviceMirror): boolean {
    return mm.intervals.includes(notifier);
  }

  private readingOf(notifier: number): Reading {
    const { id } = this.m.current!;
    let mine = this.readings.get(id);
    if (mine === undefined) this.readings.set(id, (mine = new Map()));
    let reading = mine.get(notifier);
    if (reading === undefined) mine.set(notifier, (reading = { begun: null, asked: null }));
    return reading;
  }

  private task(): string {
    return this.m.current?.comm ?? "nobody";
  }

  private fail(message: string, about: About): void {
    this.report({ kind: "notifier-protocol", message, about });
  }
}

function lockOf({ mutex }: DeviceMirror): string {
  return `the driver's lock (${mutex.cls})`;
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}
