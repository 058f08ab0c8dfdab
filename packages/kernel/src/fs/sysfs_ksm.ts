import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Ksm, KsmAdvisor } from "../mm/ksm_state.js";
import { parseBool, parseUnsigned, TextFile, type PseudoDir, type PseudoFs } from "./pseudo.js";
import { addText, SYSFS_FILE_SIZE } from "./sysfs_file.js";

/** Shown with the rest while memory goes offline. */
const KSM_RUN_OFFLINE = 4;
const UINT_MAX = 0xffff_ffff;
const INT_MAX = 0x7fff_ffff;

const ADVISORS: readonly KsmAdvisor[] = ["none", "scan-time"];

const COUNTERS: readonly (readonly [file: string, value: (ksm: Ksm) => number])[] = [
  ["pages_scanned", (ksm) => ksm.pagesScanned],
  ["pages_shared", (ksm) => ksm.pagesShared],
  ["pages_sharing", (ksm) => ksm.pagesSharing],
  ["pages_unshared", (ksm) => ksm.pagesUnshared],
  ["pages_volatile", (ksm) => Math.max(0, ksm.rmapItems - ksm.pagesShared - ksm.pagesSharing - ksm.pagesUnshared)],
  ["pages_skipped", (ksm) => ksm.pagesSkipped],
  ["ksm_zero_pages", (ksm) => ksm.zeroPages],
  ["full_scans", (ksm) => ksm.scan],
  ["stable_node_chains", (ksm) => ksm.chains],
  ["stable_node_dups", (ksm) => ksm.dups],
];

/** The largest and the smallest number that can be written. */
interface NumberFile {
  readonly max: number;
  readonly min?: number;
}

/** /sys/kernel/mm/ksm (Documentation/admin-guide/mm/ksm.rst). */
export class KsmSysfs {
  constructor(private readonly fs: PseudoFs, dir: PseudoDir) {
    this.add(dir, "run", (ksm) => ksm.run | (ksm.offlining ? KSM_RUN_OFFLINE : 0), function* (k, text) {
      const run = parseUnsigned(text, 2);
      return run === null ? -Errno.EINVAL : yield* k.ksmd.setRun(k, run);
    });
    this.add(dir, "sleep_millisecs", (ksm) => ksm.sleepMs, setNumber({ max: UINT_MAX }, (k, value) => {
      k.m.ksm.sleepMs = value;
      k.m.ksm.turnWait.wakeAll();
    }));
    this.add(dir, "pages_to_scan", (ksm) => ksm.pagesToScan, function* (k, text) {
      // Not where an advisor says how many.
      if (k.m.ksm.advisor !== "none") return -Errno.EINVAL;
      return yield* setNumber({ max: UINT_MAX }, (_k, value) => (k.m.ksm.pagesToScan = value))(k, text);
    });
    this.add(dir, "max_page_sharing", (ksm) => ksm.maxPageSharing, function* (k, text) {
      const value = parseUnsigned(text);
      if (value !== null && value > INT_MAX) return -Errno.ERANGE;
      // A page is shared by two mappings when it is made.
      return value === null || value < 2 ? -Errno.EINVAL : yield* k.ksmd.changeWithoutTrees(k, "maxPageSharing", value);
    });
    this.add(dir, "merge_across_nodes", (ksm) => Number(ksm.mergeAcrossNodes), function* (k, text) {
      const value = parseUnsigned(text, 1);
      return value === null ? -Errno.EINVAL : yield* k.ksmd.changeWithoutTrees(k, "mergeAcrossNodes", value === 1);
    });
    this.add(dir, "stable_node_chains_prune_millisecs", (ksm) => ksm.chainsPruneMs, setNumber({ max: UINT_MAX }, (k, value) => (k.m.ksm.chainsPruneMs = value)));
    this.add(dir, "use_zero_pages", (ksm) => Number(ksm.useZeroPages), setBool((k, on) => (k.m.ksm.useZeroPages = on)));
    this.add(dir, "smart_scan", (ksm) => Number(ksm.smartScan), setBool((k, on) => (k.m.ksm.smartScan = on)));
    this.add(dir, "advisor_mode", (ksm) => ADVISORS.map((name) => (name === ksm.advisor ? `[${name}]` : name)).join(" "), function* (k, text) {
      if (k.m.point(Op.Ksm, 0)) yield SWITCH;
      const advisor = ADVISORS.find((name) => name === text.replace(/\n$/, ""));
      if (advisor === undefined) return -Errno.EINVAL;
      k.ksmAdvisor.setAdvisor(k, advisor);
      return 0;
    });
    this.add(dir, "advisor_max_cpu", (ksm) => ksm.scanTime.maxCpu, setNumber({ max: Infinity }, (k, value) => (k.m.ksm.scanTime.maxCpu = value % 2 ** 32)));
    this.add(dir, "advisor_min_pages_to_scan", (ksm) => ksm.scanTime.minPagesToScan, setNumber({ max: Infinity }, (k, value) => (k.m.ksm.scanTime.minPagesToScan = value)));
    this.add(dir, "advisor_max_pages_to_scan", (ksm) => ksm.scanTime.maxPagesToScan, setNumber({ max: Infinity }, (k, value) => (k.m.ksm.scanTime.maxPagesToScan = value)));
    this.add(dir, "advisor_target_scan_time", (ksm) => ksm.scanTime.targetScanTime, setNumber({ max: Infinity, min: 1 }, (k, value) => (k.m.ksm.scanTime.targetScanTime = value)));
    for (const [file, value] of COUNTERS) addText(fs, dir, file, (k) => `${value(k.m.ksm)}\n`);
    addText(fs, dir, "general_profit", (k) => `${k.ksm.profit(k, k.m.ksm.pagesSharing + k.m.ksm.zeroPages, k.m.ksm.rmapItems)}\n`);
  }

  private add(dir: PseudoDir, name: string, value: (ksm: Ksm) => number | string, store: (k: Kernel, text: string) => MaySleep<number>): void {
    dir.add(
      name,
      new TextFile(this.fs, {
        mode: 0o644,
        strict: true,
        size: SYSFS_FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Ksm, 0)) yield SWITCH;
          return `${value(k.m.ksm)}\n`;
        },
        store,
      }),
    );
  }
}

function setNumber({ max, min = 0 }: NumberFile, set: (k: Kernel, value: number) => void) {
  return function* (k: Kernel, text: string): MaySleep<number> {
    if (k.m.point(Op.Ksm, 0)) yield SWITCH;
    const value = parseUnsigned(text, max);
    if (value === null || value < min) return -Errno.EINVAL;
    set(k, value);
    return 0;
  };
}

function setBool(set: (k: Kernel, on: boolean) => void) {
  return function* (k: Kernel, text: string): MaySleep<number> {
    if (k.m.point(Op.Ksm, 0)) yield SWITCH;
    const on = parseBool(text);
    if (on === null) return -Errno.EINVAL;
    set(k, on);
    return 0;
  };
}
