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
