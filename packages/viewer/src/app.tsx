import { useEffect } from "preact/hooks";
import { commandOf, PALETTE_KEY } from "./commands.js";
import { CompareButton, ComparePage } from "./compare_page.js";
import { Explanations } from "./core/explain.js";
import { setTheme, theme } from "./core/theme.js";
import type { Viewer } from "./core/viewer.js";
import type { Workspace } from "./core/workspace.js";
import { GalleryPage, openFile } from "./gallery_page.js";
import { Palette } from "./palette.js";
import { Kernel, RunStatus } from "./run_status.js";
import { Panels } from "./window.js";

export function App({ workspace }: { readonly workspace: Workspace }) {
  const { left, palette } = workspace;
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      const asked = (event.ctrlKey || event.metaKey) && event.key === PALETTE_KEY;
      const command = asked || left.info.value === null || document.querySelector("dialog[open]") !== null ? undefined : commandOf(workspace, event);
      if (asked) palette.value = true;
      else if (command === undefined) return;
      else void command.run(workspace.active.value, workspace);
      event.preventDefault();
    };
    const drop = (event: DragEvent): void => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (event.type === "drop" && file !== undefined) openFile(workspace, file);
    };
    addEventListener("keydown", keys);
    addEventListener("dragover", drop);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("keydown", keys);
      removeEventListener("dragover", drop);
      removeEventListener("drop", drop);
    };
  }, [workspace]);
  const info = left.info.value;
  const comparison = workspace.comparison.value;
  return (
    <>
      <Bar workspace={workspace} />
      {[left, comparison?.right].map((viewer) => (viewer?.error.value == null ? null : <Complaint key={viewer === left ? "left" : "right"} viewer={viewer} />))}
      {info === null ? (
        <GalleryPage workspace={workspace} />
      ) : comparison === null ? (
        <main class="page">
          <Panels viewer={left} />
        </main>
      ) : (
        <ComparePage workspace={workspace} comparison={comparison} />
      )}
      <Status workspace={workspace} />
      <Explanations viewer={left} />
      {palette.value ? <Palette workspace={workspace} /> : null}
    </>
  );
}

function Complaint({ viewer }: { readonly viewer: Viewer }) {
  return (
    <p class="error" role="alert" data-testid="error">
      <span>{viewer.error.value}</span>
      <button aria-label="Dismiss" onClick={() => (viewer.error.value = null)}>
        ×
      </button>
    </p>
  );
}

function Bar({ workspace }: { readonly workspace: Workspace }) {
  const viewer = workspace.left;
  const info = viewer.info.value;
  const active = workspace.active.value;
  return (
    <header class="bar">
      <button class="name" onClick={() => workspace.close()} title="Back to the gallery">
        Faultline
      </button>
      {info === null ? null : (
        <>
          <h1 title={`${info.program} ${info.args.join(" ")}; ${info.machine}`}>
            {info.program} <span class="dim">{info.args.join(" ")}</span>
          </h1>
          {workspace.comparison.value === null ? <Kernel viewer={viewer} /> : null}
          {info.broken === null ? null : (
            <button class="bad" title={`${info.broken.rule}. ${info.broken.message}`} data-testid="broken" onClick={() => viewer.goTo(info.broken!.event)}>
              {info.broken.kind} at step {info.broken.event}
            </button>
          )}
          <input
            class="search"
            type="search"
            aria-label="Search events"
            placeholder="search ( / )"
            onKeyDown={(event) => {
              if (event.key === "Enter") void active.search(event.currentTarget.value, !event.shiftKey);
              if (event.key === "Escape") event.currentTarget.blur();
            }}
          />
          <CompareButton workspace={workspace} />
          <button aria-pressed={active.playing.value} title="Play (space)" onClick={() => active.togglePlay()}>
            {active.playing.value ? "pause" : "play"}
          </button>
        </>
      )}
      <button title="Everything that can be done, by its words (? or Ctrl+P)" onClick={() => (workspace.palette.value = true)}>
        commands
      </button>
      <button title="Dark or light (t)" onClick={() => setTheme(theme.value === "dark" ? "light" : "dark")}>
        {theme.value === "dark" ? "light" : "dark"}
      </button>
    </header>
  );
}

function Status({ workspace }: { readonly workspace: Workspace }) {
  const { left, comparison, coming } = workspace;
  const busy = left.busy.value ?? coming.value?.busy.value ?? null;
  if (busy !== null) {
    return (
      <footer class="status" aria-live="polite">
        {busy} …
      </footer>
    );
  }
  if (left.info.value === null) return <footer class="status">the engine runs in this page: nothing is sent anywhere</footer>;
  if (comparison.value !== null) return <footer class="status dim">where one goes, the other follows · x: keys for the other run · &lt; &gt;: events that are in this run alone</footer>;
  return (
    <footer class="status">
      <RunStatus viewer={left} />
    </footer>
  );
}
