import { useState } from "preact/hooks";
import type { Viewer } from "./core/viewer.js";

/** Larger files are not read: no trace of ours that the viewer takes in comes near. */
const FILE_BYTES_MAX = 2 ** 30;

/** Opens a file of the user's; it stays on this computer. */
export async function openFile(viewer: Viewer, file: File): Promise<void> {
  if (file.size > FILE_BYTES_MAX) {
    viewer.error.value = `${file.name}: it is larger than 1 GiB`;
    return;
  }
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    viewer.error.value = `${file.name}: it cannot be read`;
    return;
  }
  await viewer.open({ kind: "file", name: file.name, bytes });
}

/** What there is to open. */
export function GalleryPage({ viewer }: { readonly viewer: Viewer }) {
  const gallery = viewer.gallery.value;
  const [filter, setFilter] = useState("");
  const [release, setRelease] = useState("7.3");
  const [without, setWithout] = useState("");
  const [schedule, setSchedule] = useState("default");
  if (gallery === null) return <main class="gallery" />;
  const kernel = { release, without: without === "" ? [] : [without] };
  const wanted = (words: string): boolean => words.toLowerCase().includes(filter.toLowerCase());
  return (
    <main class="gallery">
      <form onSubmit={(event) => event.preventDefault()}>
        <label>
          find <input type="search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
        </label>
        <label>
          kernel{" "}
          <select value={release} onChange={(event) => setRelease(event.currentTarget.value)}>
            {gallery.releases.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          without{" "}
          <select value={without} onChange={(event) => setWithout(event.currentTarget.value)}>
            <option value="">–</option>
            {gallery.patches.map(({ name, title }) => (
              <option key={name} value={name} title={title}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label title="As 'faultline check' reports it behind --replay">
          schedule <input value={schedule} spellcheck={false} size={16} onInput={(event) => setSchedule(event.currentTarget.value)} />
        </label>
        <label class="file">
          open a recording{" "}
          <input
            type="file"
            accept=".fltrace"
            data-testid="file"
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              if (file !== undefined) void openFile(viewer, file);
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
                  <button onClick={() => void viewer.open({ kind: "scenario", name, ...kernel, schedule: schedule === "" ? "default" : schedule })}>{name}</button> <span class="dim">{title}</span>
                </li>
              ))}
          </ul>
        </section>
        <section aria-label="Programs">
          <h2>Programs</h2>
          <ul>
            {gallery.programs.filter(wanted).map((name) => (
              <li key={name}>
                <button onClick={() => void viewer.open({ kind: "program", name, args: [], ...kernel, seed: 1 })}>{name}</button>
              </li>
            ))}
          </ul>
        </section>
      </div>
    </main>
  );
}
