import { effect, signal, type Signal } from "@preact/signals";
import { Comparison } from "./comparison.js";
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

  /** Opens a run in place of what is open, which stays where that fails. */
  async open(source: Source, step: number | null = null, selection: Selection | null = null, followed = NOTHING): Promise<void> {
    if (await this.left.open(source, step, selection, followed)) {
      this.endComparison();
      document.title = `${this.left.info.value!.program} – Faultline`;
    }
  }

  /** Opens another run beside the one that is open. */
  async compare(source: Source): Promise<void> {
    const right = new Viewer(this.newWorker());
    this.coming.value?.dispose();
    this.coming.value = right;
    this.left.error.value = null;
    try {
      if (!(await right.open(source))) throw new Error(right.error.value ?? "");
      right.busy.value = "looking for what corresponds";
      const comparison = await Comparison.of(this.left, right);
      right.busy.value = null;
      // Somebody may have asked for another meanwhile.
      if (this.coming.value !== right) return comparison.end();
      this.coming.value = null;
      this.endComparison();
      this.comparison.value = comparison;
    } catch (error) {
      right.dispose();
      if (this.coming.value !== right) return;
      this.coming.value = null;
      this.left.error.value = lineOf(error);
    }
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
    this.endComparison();
    this.left.close();
    history.pushState(null, "", location.pathname);
    document.title = "Faultline";
  }

  private async follow(): Promise<void> {
    const { source, step, selection, followed, other } = parseLink(location.hash);
    if (source === null) return;
    await this.open(source, step, selection, followed);
    if (other !== null && this.left.info.value !== null) await this.compare(other);
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
