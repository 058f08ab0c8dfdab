import { useState } from "preact/hooks";
import type { Launch, Source } from "./core/protocol.js";
import type { Workspace } from "./core/workspace.js";
import { KernelFields, SeedField } from "./run_fields.js";

/** Larger files are not read: no trace of ours that the viewer takes in comes near. */
const FILE_BYTES_MAX = 2 ** 30;

/** A file of the user's, a recording or a program, which stays on this computer; null, and a complaint, where it is too large. */
export function sourceOfFile({ launch, left }: Workspace, file: File): Source | null {
  if (file.size <= FILE_BYTES_MAX) return { kind: "file", name: file.name, content: file, ...launch.value };
  left.error.value = `${file.name}: it is larger than 1 GiB`;
  return null;
}

export function openFile(workspace: Workspace, file: File): void {
  const source = sourceOfFile(workspace, file);
  if (source !== null) void workspace.open(source);
}

/** What there is to open. */
export function GalleryPage({ workspace }: { readonly workspace: Workspace }) {
  const gallery = workspace.gallery.value;
  const [filter, setFilter] = useState("");
  const [schedule, setSchedule] = useState("default");
  if (gallery === null) return <main class="gallery" />;
  const launch = workspace.launch.value;
  const { release, without, args, seed } = launch;
  const change = (part: Partial<Launch>): void => {
    workspace.launch.value = { ...launch, ...part };
  };
  const wanted = (words: string): boolean => words.toLowerCase().includes(filter.toLowerCase());
  return (
    <main class="gallery">
      <form onSubmit={(event) => event.preventDefault()}>
        <label>
          find <input type="search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
        </label>
        <KernelFields gallery={gallery} kernel={launch} change={change} />
        <label title="As 'faultline check' reports it behind --replay">
          schedule <input value={schedule} spellcheck={false} size={16} onInput={(event) => setSchedule(event.currentTarget.value)} />
        </label>
        <label title="Of programs, separated by spaces">
          arguments <input value={args.join(" ")} spellcheck={false} size={14} onChange={(event) => change({ args: event.currentTarget.value.split(/\s+/).filter((word) => word !== "") })} />
        </label>
        <SeedField seed={seed} change={(to) => change({ seed: to })} />
        <label class="file" title="A .fltrace file, or a static riscv64 program, which is run. It can be dropped anywhere on the page, too.">
          open a recording or a program{" "}
          <input
            type="file"
            data-testid="file"
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              if (file !== undefined) openFile(workspace, file);
            }}
          />
        </label>
      </form>
      <div class="columns">
        <section aria-label="Scenarios">
          <h2>Scenarios</h2>
          <ul>
            {gallery.scenarios
              .filter(({ name, title }) => wanted(`${name} ${title}`))
              .map(({ name, title }) => (
                <li key={name}>
                  <button onClick={() => void workspace.open({ kind: "scenario", name, release, without, schedule: schedule === "" ? "default" : schedule })}>{name}</button> <span class="dim">{title}</span>
                </li>
              ))}
          </ul>
        </section>
        <section aria-label="Programs">
          <h2>Programs</h2>
          <ul>
            {gallery.programs.filter(wanted).map((name) => (
              <li key={name}>
                <button onClick={() => void workspace.open({ kind: "program", name, ...launch })}>{name}</button>
              </li>
            ))}
          </ul>
        </section>
      </div>
    </main>
  );
}
