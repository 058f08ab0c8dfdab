import type { Atomic } from "../kernel/coroutine.js";
import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Patch } from "./patch.js";

/** Before it, pages of a folio that was split stayed mapped, whatever was in them. */
function undo(_base: KernelModules): Overlay {
  return {
    rmap: {
      *tryToMapUnusedToZeropage(k: Kernel, page: number): Atomic<boolean> {
        if (k.m.point(Op.PageFlags, page)) yield SWITCH;
        return false;
      },
    },
  };
}

export const SPLIT_ZEROPAGE_2024: Patch = {
  name: "split-shared-zeropage",
  title: "mm: remap unused subpages to shared zeropage when splitting isolated thp",
  series: "mm: split underused THPs",
  since: "6.12",
  status: "modelled",
  undo,
};
