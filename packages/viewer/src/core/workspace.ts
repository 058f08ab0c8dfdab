import { effect, signal, type Signal } from "@preact/signals";
import { aligned, Comparison } from "./comparison.js";
import { formatLink, parseLink, RELEASE, type Link, type Selection } from "./link.js";
import type { Gallery, Launch, Source } from "./protocol.js";
import { lineOf, NOTHING, Viewer } from "./viewer.js";

/** Milliseconds between two changes of the address: browsers refuse more than a few a second. */
const LINK_MS = 250;

/** What the page has open: a run, and maybe another one beside it. */
export class Workspace {
  readonly gallery = signal<Gallery | null>(null);
  /** What the next program is run with. */
  readonly launch = signal<Launch>({ release: RELEASE, without: [], args: [], seed: 1 });
  readonly left: Viewer;
  readonly comparison = signal<Comparison | null>(null);
  /** The side that keys are for. */
  readonly active: Signal<Viewer>;
  /** Whether the palette of commands is open. */
  readonly palette = signal(false);
  /** Whether one is asked what to compare with. */
  readonly choosing = signal(false);
  /** The other side while it is being made ready. */
  readonly coming = signal<Viewer | null>(null);
  private linkTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly newWorker: () => Worker) {
    this.left = new Viewer(newWorker());
    this.active = signal(this.left);
    effect(() => {
      const { info, step, selection, follow } = this.left;
      void [step.value, selection.value, follow.folio.value, follow.lock.value, this.comparison.value];
      if (info.value !== null) this.rememberLink();
    });
  }

  /** Reads the gallery, and opens what the address names. */
  async start(): Promise<void> {
    window.addEventListener("hashchange", () => {
      if (location.hash !== this.currentLink()) void this.follow();
    });
    try {
      this.gallery.value = await this.left.ask("gallery", null);
    } catch (error) {
      this.left.fail(error);
      return;
    }
    await this.follow();
  }

  /** Opens a run in place of what is open, which stays where that fails; whether it could. */
  async open(source: Source, step: number | null = null, selection: Selection | null = null, followed = NOTHING): Promise<boolean> {
    if (!(await this.left.open(source, step, selection, followed))) return false;
    this.waitFor(null);
    this.endComparison();
    document.title = `${this.left.info.value!.program} – Faultline`;
    return true;
  }

  /** Opens another run beside the one that is open. */
  async compare(source: Source): Promise<void> {
    const right = new Viewer(this.newWorker());
    this.waitFor(right);
    this.left.error.value = null;
    try {
      if (!(await right.open(source))) throw new Error(right.error.value ?? "");
      right.busy.value = "looking for what corresponds";
      const steps = await aligned(this.left, right);
      right.busy.value = null;
      // Something else may have been asked for meanwhile.
      if (this.coming.value !== right) return;
      this.coming.value = null;
      this.endComparison();
      this.comparison.value = new Comparison(this.left, right, steps);
    } catch (error) {
      if (this.coming.value !== right) return;
      this.waitFor(null);
      this.left.error.value = lineOf(error);
    }
  }

  /** Whoever has been waited for so far is not wanted any more. */
  private waitFor(right: Viewer | null): void {
    this.coming.value?.dispose();
    this.coming.value = right;
  }

  endComparison(): void {
    const { value } = this.comparison;
    if (value === null) return;
    value.end();
    value.right.dispose();
    this.active.value = this.left;
    this.comparison.value = null;
  }

  /** Back to the gallery. */
  close(): void {
    this.waitFor(null);
    this.endComparison();
    this.left.close();
    history.pushState(null, "", location.pathname);
    document.title = "Faultline";
  }

  private async follow(): Promise<void> {
    const { source, step, selection, followed, other } = parseLink(location.hash);
    if (source === null) return;
    if ((await this.open(source, step, selection, followed)) && other !== null) await this.compare(other);
  }

  private link(): Link {
    const { source, step, selection, follow } = this.left;
    return { source: source.value, step: step.value, selection: selection.value, followed: { folio: follow.folio.value, lock: follow.lock.value }, other: this.comparison.value?.right.source.value ?? null };
  }

  private currentLink(): string {
    return formatLink(this.link());
  }

  private rememberLink(): void {
    if (this.linkTimer !== null) return;
    this.linkTimer = setTimeout(() => {
      this.linkTimer = null;
      const link = this.currentLink();
      if (this.left.info.value !== null && link !== location.hash) history.replaceState(null, "", link === "" ? location.pathname : link);
    }, LINK_MS);
  }
}
