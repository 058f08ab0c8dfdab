import { signal } from "@preact/signals";
import type { LockRef } from "./folio_protocol.js";
import type { Followed } from "./link.js";
import type { Viewer } from "./viewer.js";

/** What stays selected while one steps, whatever the page is by then that it was found by: a folio, and a lock. */
export class Follow {
  /** The pfn of a page; what is shown is the folio that it is of. */
  readonly folio = signal<number | null>(null);
  readonly lock = signal<LockRef | null>(null);
  /** The folio of the selected page is wanted as soon as it has one. */
  private pending = false;

  constructor(private readonly viewer: Viewer) {}

  /** A page was selected. */
  pageSelected(): void {
    this.pending = true;
  }

  /** What the selected page has at the step; null for no folio. */
  pageHas(pfn: number | null): void {
    if (!this.pending || pfn === null) return;
    this.pending = false;
    this.folio.value = pfn;
  }

  /** Of another trace, or of a link. */
  reset({ folio, lock }: Followed): void {
    this.folio.value = folio;
    this.lock.value = lock;
    this.pending = folio === null;
  }

  selectFolio(pfn: number): void {
    this.pending = false;
    this.folio.value = pfn;
  }

  selectLock(lock: LockRef): void {
    this.lock.value = lock;
  }

  /** Selects what the event at a step is about: its lock, its folio. */
  async selectAbout(step: number, what: "lock" | "folio"): Promise<void> {
    const { viewer } = this;
    try {
      const { pfn, lock } = await viewer.ask("about", { step });
      if (what === "lock") {
        if (lock === null) viewer.error.value = "the event at this step is about no lock";
        else this.selectLock(lock);
      } else if (pfn === null) viewer.error.value = "the event at this step is about no folio";
      else {
        this.selectFolio(pfn);
        viewer.showView("folio");
      }
    } catch (error) {
      viewer.fail(error);
    }
  }

  async nextOnFolio(forward: boolean): Promise<void> {
    const { viewer } = this;
    const pfn = this.folio.value;
    if (pfn === null) {
      viewer.error.value = "no folio is selected";
      return;
    }
    const from = viewer.step.value;
    await viewer.jump(forward, "this folio", async () => {
      for (;;) {
        const { step, done } = await viewer.ask("folioNext", { pfn, from, forward });
        if (done) return step;
      }
    });
  }

  async nextOnLock(forward: boolean): Promise<void> {
    const { viewer } = this;
    const lock = this.lock.value;
    if (lock === null) {
      viewer.error.value = "no lock is selected: click what a task holds or waits for, or press l at an event of a lock";
      return;
    }
    await viewer.jump(forward, lockWords(lock), () => viewer.ask("lockNext", { lock, from: viewer.step.value, forward }));
  }
}

export function lockWords(lock: LockRef): string {
  switch (lock.kind) {
    case "folio":
      return `the folio lock of pfn 0x${lock.pfn.toString(16)}`;
    case "mmap_lock":
      return `mmap_lock of mm ${lock.mm}`;
    case "lock":
      return `${lock.name} ${lock.id}`;
  }
}
