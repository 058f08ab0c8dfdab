import { duration } from "./core/format.js";
import { timeAt } from "./core/times.js";
import type { Viewer } from "./core/viewer.js";

/** The kernel of a run: its release, and what is undone or added. */
export function Kernel({ viewer }: { readonly viewer: Viewer }) {
  const info = viewer.info.value;
  if (info === null) return null;
  return (
    <span class="kernel dim" data-testid="kernel">
      {info.release}
      {info.without.map((name) => ` −${name}`)}
      {[...info.patches, ...info.drivers].map((file) => ` +${file}`)}
    </span>
  );
}

/** Which step of a run is shown, how good the state is, and the hash of it all. */
export function RunStatus({ viewer: { info, moment, step, timeline, searching } }: { readonly viewer: Viewer }) {
  if (info.value === null) return null;
  const since = moment.value?.spaces.basis.since ?? 0;
  return (
    <>
      <span role="status" data-testid="step">
        step {step.value} of {info.value.events - 1}, {duration(timeline.value === null ? 0 : timeAt(timeline.value.times, step.value))}
      </span>
      <span class="dim" data-testid="basis">{searching.value !== null ? searching.value : since === 0 ? "all of the state is of this step" : `entries as of this step; counts, VMAs, accessed and dirty bits as recorded ${since} events before`}</span>
      {info.value.notes.map((note) => (
        <span key={note} class="dim">
          {note}
        </span>
      ))}
      <span class="hash" title="SHA-256 of all events: the same as 'faultline trace' prints" data-testid="hash">
        {info.value.hash}
      </span>
    </>
  );
}
