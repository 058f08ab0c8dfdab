import { resolvePatches, type OverlayFactory } from "@faultline/kernel";
import { UserError } from "./failure.js";
import { loadPatch, type LoadedPatch } from "./patch_file.js";

/** Which kernel a command is to run. */
export interface KernelOptions {
  readonly release: string;
  /** Upstream patches that are undone besides. */
  readonly without: readonly string[];
  /** Files of the user's own patches. */
  readonly patch: readonly string[];
}

/**
 * The overlays that the options ask for, in the order in which they are applied.
 * @throws UserError for a name that nobody knows, or a patch that is none
 */
export async function overlaysOf(options: KernelOptions): Promise<{ overlays: OverlayFactory[]; loaded: LoadedPatch[] }> {
  const undone = resolvePatches({ release: options.release, without: options.without });
  if (typeof undone === "string") throw new UserError(undone);
  const loaded: LoadedPatch[] = [];
  for (const file of options.patch) loaded.push(await loadPatch(file));
  return { overlays: [...undone, ...loaded.map((p) => p.overlay)], loaded };
}
