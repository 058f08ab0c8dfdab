import { useEffect, useRef, useState } from "preact/hooks";
import type { Comparison } from "./core/comparison.js";
import type { Source } from "./core/protocol.js";
import type { Viewer } from "./core/viewer.js";
import type { Workspace } from "./core/workspace.js";
import { sourceOfFile } from "./gallery_page.js";
import { KernelFields, SeedField } from "./run_fields.js";
import { Kernel, RunStatus } from "./run_status.js";
import { Panels } from "./window.js";

/** Two runs side by side, and how they differ at corresponding steps. */
export function ComparePage({ workspace, comparison }: { readonly workspace: Workspace; readonly comparison: Comparison }) {
  const { left, right } = comparison;
  return (
    <main class="compare">
      <Side workspace={workspace} viewer={left} name="left" />
      <Side workspace={workspace} viewer={right} name="right" />
      <Differences comparison={comparison} />
    </main>
  );
}

function Side({ workspace, viewer, name }: { readonly workspace: Workspace; readonly viewer: Viewer; readonly name: "left" | "right" }) {
  const take = (): void => {
    workspace.active.value = viewer;
  };
  const only = viewer.peer.value?.only.length ?? 0;
  return (
    <section class="side" data-testid={name} aria-label={`The ${name} run`} aria-current={workspace.active.value === viewer} onPointerDown={take} onFocusIn={take}>
      <header>
        <Kernel viewer={viewer} />
        <SourceWords source={viewer.source.value} />
        <span class="dim" title="Events that the other run does not have. &lt; and &gt; go to them.">
          {only} only here
        </span>
      </header>
      <Panels viewer={viewer} narrow />
      <footer class="status">
        <RunStatus viewer={viewer} />
      </footer>
    </section>
  );
}

function SourceWords({ source }: { readonly source: Source | null }) {
  const words = source === null ? "" : source.kind === "scenario" ? `schedule ${source.schedule}` : source.kind === "served" ? `recording ${source.number}` : source.kind === "file" ? source.name : `seed ${source.seed}`;
  return <span class="dim">{words}</span>;
}

function Differences({ comparison }: { readonly comparison: Comparison }) {
  const latest = useRef<readonly { readonly what: string; readonly left: string; readonly right: string; readonly at: Parameters<Viewer["select"]>[0] }[]>([]);
  // What was found last stays until the next is: nothing flickers while one steps.
  latest.current = comparison.differences.value ?? latest.current;
  const found = latest.current;
  return (
    <section class="differences" aria-label="Differences">
      <header>
        <h2>Differences</h2> <span class="dim">{found.length === 0 ? "none in what is shown" : found.length}</span>
      </header>
      <div class="scroller text" tabIndex={0} role="region" aria-label="Differences at these steps">
        <table data-testid="differences">
          <tbody>
            {found.map(({ what, left, right, at }, i) => (
              <tr key={i}>
                <th scope="row">{at === null ? what : <button onClick={() => comparison.left.select(at)}>{what}</button>}</th>
                <td>{left}</td>
                <td>{right}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Asks what to compare with. */
export function CompareButton({ workspace }: { readonly workspace: Workspace }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { choosing, comparison, left } = workspace;
  const open = choosing.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
  }, [open]);
  const source = left.source.value;
  if (comparison.value !== null) return <button onClick={() => workspace.endComparison()}>end comparison</button>;
  return (
    <>
      <button title="Another run beside this one (c)" onClick={() => (choosing.value = true)}>
        compare
      </button>
      {open && source !== null ? (
        <dialog ref={dialog} class="choose" aria-label="Compare with" onClose={() => (choosing.value = false)}>
          <h2>Compare with</h2>
          <Choose workspace={workspace} source={source} close={() => dialog.current?.close()} />
        </dialog>
      ) : null}
    </>
  );
}

function Choose({ workspace, source, close }: { readonly workspace: Workspace; readonly source: Source; readonly close: () => void }) {
  const [wanted, setWanted] = useState(source);
  const go = (other: Source): void => {
    close();
    void workspace.compare(other);
  };
  // A recording is what it is; what has been run here can be run otherwise.
  const isRun = wanted.kind === "scenario" || workspace.left.info.value?.repeats === true;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        go(wanted);
      }}
    >
      {wanted.kind === "served" || !isRun ? null : (
        <>
          <KernelFields gallery={workspace.gallery.value} kernel={wanted} change={(part) => setWanted({ ...wanted, ...part })} />
          {wanted.kind === "scenario" ? (
            <label>
              schedule <input value={wanted.schedule} spellcheck={false} size={16} onInput={(event) => setWanted({ ...wanted, schedule: event.currentTarget.value })} />
            </label>
          ) : (
            <SeedField seed={wanted.seed} change={(seed) => setWanted({ ...wanted, seed })} />
          )}
          <button type="submit">compare</button>
        </>
      )}
      <label>
        a recording or a program{" "}
        <input
          type="file"
          data-testid="compare-file"
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            const other = file === undefined ? null : sourceOfFile(workspace, file);
            if (other !== null) go(other);
          }}
        />
      </label>
      <button type="button" onClick={close}>
        cancel
      </button>
    </form>
  );
}
