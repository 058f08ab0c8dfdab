import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { onlineTypeFromString, type MemoryBlock } from "../drivers/memory.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { MEMORY_BLOCK_PAGES } from "../mm/zone.js";
import { TextFile, type PseudoDir, type PseudoFs, type Store } from "./pseudo.js";
import { SYSFS_FILE_SIZE } from "./sysfs_file.js";

/** /sys/devices/system/memory: a directory for each 128 MiB of RAM (Documentation/admin-guide/mm/memory-hotplug.rst). */
export function addMemoryBlocks(fs: PseudoFs, m: Machine, dir: PseudoDir): void {
  const add = (at: PseudoDir, name: string, show: (k: Kernel) => string, store?: Store): void => {
    at.add(
      name,
      new TextFile(fs, {
        mode: store === undefined ? 0o444 : 0o644,
        strict: true,
        size: SYSFS_FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Stats, 0)) yield SWITCH;
          return `${show(k)}\n`;
        },
        ...(store === undefined ? {} : { store }),
      }),
    );
  };
  add(dir, "block_size_bytes", () => (MEMORY_BLOCK_PAGES * PAGE_SIZE).toString(16));
  add(
    dir,
    "auto_online_blocks",
    (k) => k.m.memoryBlocks.autoOnline,
    function* (k, text) {
      if (k.m.point(Op.Stats, 0)) yield SWITCH;
      if (onlineTypeFromString(text) === undefined) return -Errno.EINVAL;
      k.m.memoryBlocks.autoOnline = text.trimEnd();
      return 0;
    },
  );
  for (const block of m.memoryBlocks.list) addBlock(dir.dir(`memory${block.id}`), block, add);
}

function addBlock(
  dir: PseudoDir,
  block: MemoryBlock,
  add: (at: PseudoDir, name: string, show: (k: Kernel) => string, store?: Store) => void,
): void {
  add(dir, "phys_index", () => block.id.toString(16).padStart(8, "0"));
  add(
    dir,
    "state",
    () => block.state,
    (k, text) => k.memoryDevice.stateStore(k, block, text),
  );
  add(
    dir,
    "online",
    () => (block.state === "offline" ? "0" : "1"),
    (k, text) => k.memoryDevice.onlineStore(k, block, text),
  );
  add(dir, "phys_device", () => "0");
  // Whether the kernel can take memory offline at all, not whether this block's can go.
  add(dir, "removable", () => "1");
  add(dir, "valid_zones", (k) => k.memoryDevice.validZones(k, block));
}
