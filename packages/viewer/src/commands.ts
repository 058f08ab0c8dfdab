import { openDocumentation } from "./core/explain.js";
import { setTheme, theme } from "./core/theme.js";
import type { Viewer } from "./core/viewer.js";
import type { Workspace } from "./core/workspace.js";
import { VIEWS } from "./window.js";

/** Something that can be asked for by a key, or by its words in the palette. */
export interface Command {
  readonly title: string;
  /** As `KeyboardEvent.key` has it. */
  readonly key?: string;
  /** As a person reads it, where that is something else. */
  readonly shown?: string;
  run(viewer: Viewer, workspace: Workspace): unknown;
  /** Whether it is to be had now, besides that a run is open. */
  readonly when?: (workspace: Workspace) => boolean;
}

const comparing = ({ comparison }: Workspace): boolean => comparison.value !== null;

export const COMMANDS: readonly Command[] = [
  { title: "Zoom in around the step", key: "w", run: (viewer) => viewer.zoom(0.7) },
  { title: "Zoom out", key: "s", run: (viewer) => viewer.zoom(1 / 0.7) },
  { title: "Move to the left", key: "a", run: (viewer) => viewer.pan(-0.15) },
  { title: "Move to the right", key: "d", run: (viewer) => viewer.pan(0.15) },
  { title: "Zoom to the step", key: "f", run: (viewer) => viewer.show(viewer.step.value - 20, 41) },
  { title: "Show everything", key: "0", run: (viewer) => viewer.show(0, Infinity) },
  { title: "Step back", key: "ArrowLeft", shown: "←", run: (viewer) => viewer.goTo(viewer.step.value - 1) },
  { title: "Step", key: "ArrowRight", shown: "→", run: (viewer) => viewer.goTo(viewer.step.value + 1) },
  { title: "Ten steps back", key: "shift ArrowLeft", shown: "shift ←", run: (viewer) => viewer.goTo(viewer.step.value - 10) },
  { title: "Ten steps", key: "shift ArrowRight", shown: "shift →", run: (viewer) => viewer.goTo(viewer.step.value + 10) },
  { title: "First step", key: "Home", run: (viewer) => viewer.goTo(0) },
  { title: "Last step", key: "End", run: (viewer) => viewer.goTo(viewer.last.value) },
  { title: "Play or pause", key: " ", shown: "space", run: (viewer) => viewer.togglePlay() },
  { title: "Earlier event of the selected page", key: "[", run: (viewer) => viewer.nextTouching(false) },
  { title: "Later event of the selected page", key: "]", run: (viewer) => viewer.nextTouching(true) },
  { title: "Earlier event of the followed folio", key: "{", run: (viewer) => viewer.follow.nextOnFolio(false) },
  { title: "Later event of the followed folio", key: "}", run: (viewer) => viewer.follow.nextOnFolio(true) },
  { title: "Earlier event of the followed lock", key: ",", run: (viewer) => viewer.follow.nextOnLock(false) },
  { title: "Later event of the followed lock", key: ".", run: (viewer) => viewer.follow.nextOnLock(true) },
  { title: "Follow the folio of this event", key: "o", run: (viewer) => viewer.follow.selectAbout(viewer.step.value, "folio") },
  { title: "Follow the lock of this event", key: "l", run: (viewer) => viewer.follow.selectAbout(viewer.step.value, "lock") },
  {
    title: "Documentation of what is explained",
    key: "h",
    run: (viewer) => {
      if (!openDocumentation()) viewer.error.value = "nothing is explained here: point to something, or go there by the tab key";
    },
  },
  { title: "Next match of the search", key: "n", run: (viewer) => viewer.search(viewer.query.value, true) },
  { title: "Previous match of the search", key: "N", run: (viewer) => viewer.search(viewer.query.value, false) },
  { title: "Search events", key: "/", run: () => document.querySelector<HTMLElement>(".search")?.focus() },
  { title: "End the search", key: "Escape", shown: "Esc", run: (viewer) => viewer.stopSearching(), when: ({ active }) => active.value.searching.value !== null },
  { title: "Timeline by machine time, or by steps", key: "m", run: (viewer) => (viewer.byTime.value = !viewer.byTime.value) },
  { title: "Go to the step that broke the rule", run: (viewer) => viewer.goTo(viewer.info.value!.broken!.event), when: ({ active }) => active.value.info.value?.broken != null },
  { title: "Compare with another run", key: "c", run: (_viewer, { choosing }) => (choosing.value = true), when: (workspace) => !comparing(workspace) },
  { title: "End the comparison", run: (_viewer, workspace) => workspace.endComparison(), when: comparing },
  { title: "Keys for the other run", key: "x", run: (_viewer, { active, comparison }) => (active.value = active.value.peer.value?.viewer ?? comparison.value!.left), when: comparing },
  { title: "Earlier event that is in this run alone", key: "<", run: (viewer, { comparison }) => comparison.value!.nextOnly(viewer, false), when: comparing },
  { title: "Later event that is in this run alone", key: ">", run: (viewer, { comparison }) => comparison.value!.nextOnly(viewer, true), when: comparing },
  ...VIEWS.map(({ id, title, available }, i): Command => ({
    title: `Show ${title}`,
    key: String(i + 1),
    run: (viewer) => viewer.showView(id),
    when: ({ active }) => available?.(active.value) !== false,
  })),
  { title: "Copy a link to this picture", run: () => navigator.clipboard.writeText(location.href), when: () => location.hash !== "" },
  { title: "Back to the gallery", run: (_viewer, workspace) => workspace.close() },
  { title: "All commands and keys", key: "?", run: (_viewer, { palette }) => (palette.value = true) },
  { title: "Dark or light", key: "t", run: () => setTheme(theme.value === "dark" ? "light" : "dark") },
];

/** What opens the palette with Ctrl, whatever has the focus. */
export const PALETTE_KEY = "p";

/** The command of a key that was pressed; undefined for none, or where it means something to what has the focus. */
export function commandOf(workspace: Workspace, { target, key, shiftKey, ctrlKey, metaKey, altKey }: KeyboardEvent): Command | undefined {
  const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
  if (typing || ctrlKey || metaKey || altKey) return undefined;
  // A button that has the focus is pressed by it.
  if (key === " " && target instanceof HTMLButtonElement) return undefined;
  const wanted = shiftKey && key.startsWith("Arrow") ? `shift ${key}` : key;
  return COMMANDS.find((command) => command.key === wanted && command.when?.(workspace) !== false);
}
