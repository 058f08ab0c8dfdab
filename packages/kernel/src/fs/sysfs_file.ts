import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { TextFile, type PseudoDir, type PseudoFs } from "./pseudo.js";

/** What nearly every sysfs file says its size is. */
export const SYSFS_FILE_SIZE = 4096;

/** Adds a file that can only be read. */
export function addText(fs: PseudoFs, dir: PseudoDir, name: string, show: (k: Kernel) => string, size = SYSFS_FILE_SIZE): void {
  dir.add(
    name,
    new TextFile(fs, {
      mode: 0o444,
      strict: true,
      size,
      *show(k) {
        if (k.m.point(Op.Stats, 0)) yield SWITCH;
        return show(k);
      },
    }),
  );
}
