import { SEED_MAX } from "./core/link.js";
import type { Gallery, KernelChoice } from "./core/protocol.js";

/** Which kernel something runs on. */
export function KernelFields({ gallery, kernel: { release, without }, change }: { readonly gallery: Gallery | null; readonly kernel: KernelChoice; readonly change: (part: Partial<KernelChoice>) => void }) {
  return (
    <>
      <label>
        kernel{" "}
        <select value={release} onChange={(event) => change({ release: event.currentTarget.value })}>
          {gallery?.releases.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        without{" "}
        <select value={without[0] ?? ""} onChange={({ currentTarget: { value } }) => change({ without: value === "" ? [] : [value] })}>
          <option value="">–</option>
          {gallery?.patches.map(({ name, title }) => (
            <option key={name} value={name} title={title}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

/** The seed of every choice that the machine of a program makes. */
export function SeedField({ seed, change }: { readonly seed: number; readonly change: (seed: number) => void }) {
  return (
    <label title="Of every choice that the machine of a program makes">
      seed <input type="number" min={0} max={SEED_MAX} value={seed} onChange={(event) => change(Math.min(Math.max(0, Math.floor(Number(event.currentTarget.value) || 0)), SEED_MAX))} />
    </label>
  );
}
