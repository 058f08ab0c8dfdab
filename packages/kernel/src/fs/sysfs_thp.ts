import { SWITCH } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import {
  SHMEM_MIN_ORDER,
  THP_MIN_ORDER,
  type Khugepaged,
  type MthpStat,
  type ShmemEnabled,
  type ShmemSizeEnabled,
  type ThpDefrag,
  type ThpEnabled,
  type ThpSizeEnabled,
} from "../mm/thp.js";
import { parseUnsigned, TextFile, type PseudoDir, type PseudoFs } from "./pseudo.js";
import { addText, SYSFS_FILE_SIZE } from "./sysfs_file.js";

const UINT_MAX = 0xffff_ffff;

/** Settings of khugepaged that are numbers, with the largest that can be written. */
const LIMITS: readonly (readonly [file: string, setting: keyof Khugepaged & `maxPtes${string}`])[] = [
  ["max_ptes_none", "maxPtesNone"],
  ["max_ptes_swap", "maxPtesSwap"],
  ["max_ptes_shared", "maxPtesShared"],
];

/** Of folios of all large sizes, of those that files may have, and of anonymous ones alone. */
const SIZE_STATS: readonly MthpStat[] = ["split", "split_failed", "swpin", "swpin_fallback", "swpin_fallback_charge", "swpout", "swpout_fallback", "zswpout"];
const SHMEM_STATS: readonly MthpStat[] = ["shmem_alloc", "shmem_fallback", "shmem_fallback_charge"];
const ANON_STATS: readonly MthpStat[] = [
  "anon_fault_alloc",
  "anon_fault_fallback",
  "anon_fault_fallback_charge",
  "collapse_alloc",
  "collapse_alloc_failed",
  "collapse_exceed_none_pte",
  "collapse_exceed_swap_pte",
  "collapse_exceed_shared_pte",
  "nr_anon",
  "nr_anon_partially_mapped",
  "split_deferred",
];

/** /sys/kernel/mm/transparent_hugepage (Documentation/admin-guide/mm/transhuge.rst). */
export class ThpSysfs {
  constructor(private readonly fs: PseudoFs, dir: PseudoDir) {
    this.addChoice<ThpEnabled>(dir, "enabled", ["always", "madvise", "never"], (k) => k.m.thp.enabled, (k, value) => (k.m.thp.enabled = value));
    this.addChoice<ThpDefrag>(
      dir,
      "defrag",
      ["always", "defer", "defer+madvise", "madvise", "never"],
      (k) => k.m.thp.defrag,
      (k, value) => (k.m.thp.defrag = value),
    );
    this.addChoice<ShmemEnabled>(
      dir,
      "shmem_enabled",
      ["always", "within_size", "advise", "never", "deny", "force"],
      (k) => k.m.thp.shmemEnabled,
      (k, value) => (k.m.thp.shmemEnabled = value),
      // What forces pages of 2 MiB would override what other sizes say.
      (k, value) => value !== "force" || k.m.thp.onlyPmdShmemInherits,
    );
    this.addText(dir, "hpage_pmd_size", () => HPAGE_PMD_NR * 4096);
    this.addFlag(dir, "use_zero_page", (k) => k.m.thp.useZeroPage, (k, on) => (k.m.thp.useZeroPage = on));
    this.addFlag(dir, "shrink_underused", (k) => k.m.thp.shrinkUnderused, (k, on) => (k.m.thp.shrinkUnderused = on));
    for (let order = SHMEM_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) this.addSize(dir.dir(`hugepages-${4 << order}kB`), order);
    this.addKhugepaged(dir.dir("khugepaged"));
  }

  private addSize(dir: PseudoDir, order: number): void {
    const anon = order >= THP_MIN_ORDER;
    if (anon) {
      this.addChoice<ThpSizeEnabled>(
        dir,
        "enabled",
        ["always", "inherit", "madvise", "never"],
        (k) => k.m.thp.sizeEnabled(order),
        (k, value) => k.m.thp.setSizeEnabled(order, value),
      );
    }
    this.addChoice<ShmemSizeEnabled>(
      dir,
      "shmem_enabled",
      ["always", "inherit", "within_size", "advise", "never"],
      (k) => k.m.thp.shmemSizeEnabled(order),
      (k, value) => k.m.thp.setShmemSizeEnabled(order, value),
      (k, value) => value !== "inherit" || order === HPAGE_PMD_ORDER || k.m.thp.shmemEnabled !== "force",
    );
    const stats = dir.dir("stats");
    for (const stat of anon ? [...ANON_STATS, ...SHMEM_STATS, ...SIZE_STATS] : [...SHMEM_STATS, ...SIZE_STATS]) {
      this.addText(stats, stat, (k) => k.m.thp.stats(order)[stat]);
    }
  }

  private addKhugepaged(dir: PseudoDir): void {
    this.addFlag(dir, "defrag", (k) => k.m.thp.khugepaged.defrag, (k, on) => (k.m.thp.khugepaged.defrag = on));
    for (const [name, setting] of LIMITS) {
      this.addNumber(dir, name, 0, HPAGE_PMD_NR - 1, (k) => k.m.thp.khugepaged[setting], (k, value) => (k.m.thp.khugepaged[setting] = value));
    }
    this.addNumber(dir, "pages_to_scan", 1, UINT_MAX, (k) => k.m.thp.khugepaged.pagesToScan, (k, value) => (k.m.thp.khugepaged.pagesToScan = value));
    this.addNumber(dir, "scan_sleep_millisecs", 0, UINT_MAX, (k) => k.m.thp.khugepaged.scanSleepMs, (k, value) => {
      k.m.thp.khugepaged.scanSleepMs = value;
      k.khugepaged.wake(k);
    });
    this.addNumber(dir, "alloc_sleep_millisecs", 0, UINT_MAX, (k) => k.m.thp.khugepaged.allocSleepMs, (k, value) => {
      k.m.thp.khugepaged.allocSleepMs = value;
      k.khugepaged.wake(k);
    });
    this.addText(dir, "pages_collapsed", (k) => k.m.thp.khugepaged.pagesCollapsed);
    this.addText(dir, "full_scans", (k) => k.m.thp.khugepaged.fullScans);
  }

  private addText(dir: PseudoDir, name: string, value: (k: Kernel) => number): void {
    addText(this.fs, dir, name, (k) => `${value(k)}\n`);
  }

  /** What `parse` answers null to, or `set` refuses, is EINVAL. */
  private addSetting<T>(dir: PseudoDir, name: string, show: (k: Kernel) => string, parse: (text: string) => T | null, set: (k: Kernel, value: T) => boolean): void {
    dir.add(
      name,
      new TextFile(this.fs, {
        mode: 0o644,
        strict: true,
        size: SYSFS_FILE_SIZE,
        *show(k) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          return `${show(k)}\n`;
        },
        *store(k, text) {
          if (k.m.point(Op.Thp, 0)) yield SWITCH;
          const value = parse(text);
          if (value === null || !set(k, value)) return -Errno.EINVAL;
          k.khugepaged.settingsChanged(k);
          return 0;
        },
      }),
    );
  }

  /** A setting by name: all are shown, the chosen one in brackets. */
  private addChoice<T extends string>(
    dir: PseudoDir,
    name: string,
    choices: readonly T[],
    get: (k: Kernel) => T,
    set: (k: Kernel, value: T) => void,
    allowed: (k: Kernel, value: T) => boolean = () => true,
  ): void {
    this.addSetting(
      dir,
      name,
      (k) => choices.map((c) => (c === get(k) ? `[${c}]` : c)).join(" "),
      (text) => choices.find((c) => c === text.replace(/\n$/, "")) ?? null,
      (k, value) => {
        const ok = allowed(k, value);
        if (ok) set(k, value);
        return ok;
      },
    );
  }

  private addNumber(dir: PseudoDir, name: string, min: number, max: number, get: (k: Kernel) => number, set: (k: Kernel, value: number) => void): void {
    this.addSetting(
      dir,
      name,
      (k) => String(get(k)),
      (text) => parseUnsigned(text, max),
      (k, value) => {
        if (value >= min) set(k, value);
        return value >= min;
      },
    );
  }

  private addFlag(dir: PseudoDir, name: string, get: (k: Kernel) => boolean, set: (k: Kernel, on: boolean) => void): void {
    this.addNumber(dir, name, 0, 1, (k) => (get(k) ? 1 : 0), (k, value) => set(k, value === 1));
  }
}
