import { Errno } from "../kernel/errno.js";
import type { DriverFile } from "../drivers/device.js";
import type { Kernel } from "../kernel.js";
import { parseInteger, PseudoFs, TextFile, type Store } from "./pseudo.js";
import { addSysctlNumber } from "./proc/sysctl_number.js";
import type { FileOps, Inode } from "./vfs.js";

const DEBUGFS_MAGIC = 0x64626720;
/** Settings of balancing, by their files. */
const NUMA_BALANCING = [
  ["scan_delay_ms", "scanDelayMs"],
  ["scan_period_min_ms", "scanPeriodMinMs"],
  ["scan_period_max_ms", "scanPeriodMaxMs"],
  ["scan_size_mb", "scanSizeMb"],
  ["hot_threshold_ms", "hotThresholdMs"],
] as const;
/** What one write to split_huge_pages has room for. */
const SPLIT_COMMAND_MAX = 255;

/** /sys/kernel/debug, as far as there is something behind it. */
export class Debugfs extends PseudoFs {
  constructor(dev: number) {
    super("debugfs", "debugfs", "rw,nosuid,nodev,noexec,relatime", dev, DEBUGFS_MAGIC, { rootMode: 0o700 });
    const hwpoison = this.root.dir("hwpoison");
    for (const [name, act] of [["corrupt-pfn", corruptPfn], ["unpoison-pfn", unpoisonPfn]] as const) {
      hwpoison.add(name, new TextFile(this, { mode: 0o200, store: act }));
    }
    const balancing = this.root.dir("sched").dir("numa_balancing");
    for (const [name, key] of NUMA_BALANCING) addSysctlNumber(balancing, name, { min: 0, max: 2 ** 32 - 1, get: (k) => k.m.numa[key], set: (k, value) => void (k.m.numa[key] = value) });
    this.root.add("gup_test", new GupTestFile(this));
    this.root.add("split_huge_pages", new TextFile(this, { mode: 0o200, store: splitHugePages }));
  }

  /** At boot: a directory of a driver's, with its files. */
  register(name: string, files: Readonly<Record<string, DriverFile>>): void {
    const dir = this.root.dir(name, 0o755);
    for (const [file, settings] of Object.entries(files)) dir.add(file, new TextFile(this, settings));
  }
}

/** What mm/gup_test.ts does, behind a file that has nothing to read. */
class GupTestFile implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  mode = 0o600;
  size = 0;
  readonly ino: number;
  readonly ops = GUP_TEST_FOPS;

  constructor(private readonly fs: PseudoFs) {
    this.ino = fs.allocateIno();
  }

  get dev(): number {
    return this.fs.dev;
  }
}

const GUP_TEST_FOPS: FileOps = {
  ioctl: (k, _file, cmd, arg) => k.gupTest.gupTestIoctl(k, cmd, arg),
  release: (k) => k.gupTest.pinLongtermTestStop(k),
  stream: true,
};

const corruptPfn: Store = function* (k: Kernel, text: string) {
  const pfn = parseInteger(text);
  return pfn === null ? -Errno.EINVAL : yield* k.memoryFailure.corruptPfn(k, pfn);
};

const unpoisonPfn: Store = function* (k: Kernel, text: string) {
  const pfn = parseInteger(text);
  return pfn === null ? -Errno.EINVAL : yield* k.memoryFailure.unpoisonMemory(k, pfn);
};

/** "PID,0xSTART,0xEND[,ORDER[,OFFSET]]", "/PATH,0xSTART,0xEND[,ORDER[,OFFSET]]" with the range in pages of the file, or "1" for all. */
const splitHugePages: Store = function* (k: Kernel, text: string) {
  const command = text.slice(0, SPLIT_COMMAND_MAX - 1).replace(/\0.*$/s, "");
  if (command.startsWith("/")) {
    const comma = command.indexOf(",");
    const range = comma < 0 ? null : parseRange(command.slice(comma + 1));
    return range === null ? -Errno.EINVAL : yield* k.splitDebug.splitInFile(k, command.slice(0, comma), range);
  }
  const [, pid, rest] = /^\s*([-+]?\d+)(.*)$/s.exec(command) ?? [];
  if (pid === undefined) return -Errno.EINVAL;
  const range = rest!.startsWith(",") ? parseRange(rest!.slice(1)) : null;
  if (range !== null) return yield* k.splitDebug.splitInProcess(k, Number(pid), range);
  if (Number(pid) !== 1 || /^,\s*0x[0-9a-fA-F]/.test(rest!)) return -Errno.EINVAL;
  yield* k.splitDebug.splitAll(k);
  return 0;
};

/** What is to be split, and into what. */
export interface SplitRange {
  readonly start: number;
  readonly end: number;
  readonly order: number;
  /** Of the page around which a folio is split, in its folio; negative to split it into equal parts. */
  readonly offset: number;
}

/** As sscanf() takes it: what follows is ignored. */
function parseRange(text: string): SplitRange | null {
  const match = /^\s*0x([0-9a-fA-F]+),\s*0x([0-9a-fA-F]+)(?:,\s*([-+]?\d+)(?:,\s*([-+]?\d+))?)?/.exec(text);
  if (match === null) return null;
  const [, start, end, order, offset] = match;
  return { start: parseInt(start!, 16), end: parseInt(end!, 16), order: Number(order ?? 0), offset: Number(offset ?? -1) };
}
