import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { showLocks } from "../file_locks.js";
import type { Mount } from "../namei.js";
import { PseudoFs, PseudoLink, TextFile } from "../pseudo.js";
import type { UtsName } from "../vfs.js";
import { Errno } from "../../kernel/errno.js";
import { ProcRoot } from "./base.js";
import {
  FILESYSTEMS,
  mountIdOf,
  mountinfoText,
  mountsText,
  showCpuinfo,
  showLoadavg,
  showStat,
  showSwaps,
  showUptime,
  versionText,
} from "./generic.js";
import { showMeminfo } from "./meminfo.js";
import { kpageFiles } from "./page.js";
import { populateSysctl } from "./sysctl.js";
import { showMsg, showSem, showShm } from "./sysvipc.js";
import { showVmstat } from "./vmstat.js";
import { showBuddyinfo, showIomem, showPagetypeinfo, showZoneinfo } from "./zoneinfo.js";

const PROC_SUPER_MAGIC = 0x9fa0;

/** The id of the process that asks, and of its thread; 0 for kernel threads. */
function selfId(k: Kernel): number {
  return k.m.current!.process?.pid ?? 0;
}

/** /proc. Names that do not exist answer ENOENT even where something is to be made. */
export class Procfs extends PseudoFs {
  declare readonly root: ProcRoot;

  constructor(dev: number, uts: UtsName, cmdline: string, mounts: () => readonly Mount[]) {
    super("proc", "proc", "rw,nosuid,nodev,noexec,relatime", dev, PROC_SUPER_MAGIC, {
      blksize: 1024,
      missing: -Errno.ENOENT,
    });
    const root = new ProcRoot(this, 0o555, 1);
    this.root = root;
    root.describeMounts(
      () => mountsText(mounts()),
      () => mountinfoText(mounts()),
      (dev) => mountIdOf(mounts(), dev),
    );
    root.add("self", new PseudoLink(this, (k) => (selfId(k) === 0 ? -Errno.ENOENT : String(selfId(k)))));
    root.add(
      "thread-self",
      new PseudoLink(this, (k) => (selfId(k) === 0 ? -Errno.ENOENT : `${selfId(k)}/task/${k.m.current!.id}`)),
    );
    root.add("mounts", new PseudoLink(this, () => "self/mounts"));
    const shows: readonly (readonly [string, (k: Kernel) => MaySleep<string>])[] = [
      ["buddyinfo", showBuddyinfo],
      ["cmdline", (k) => constant(k, `${cmdline}\n`)],
      ["cpuinfo", showCpuinfo],
      ["filesystems", (k) => constant(k, FILESYSTEMS)],
      ["iomem", showIomem],
      ["loadavg", showLoadavg],
      ["locks", showLocks],
      ["meminfo", showMeminfo],
      ["pagetypeinfo", showPagetypeinfo],
      ["stat", showStat],
      ["swaps", showSwaps],
      ["uptime", showUptime],
      ["version", (k) => constant(k, versionText(uts))],
      ["vmstat", showVmstat],
      ["zoneinfo", showZoneinfo],
    ];
    for (const [name, show] of shows) {
      root.add(name, new TextFile(this, { mode: 0o444, writeErrno: Errno.EIO, show: (k) => show(k) }));
    }
    for (const [name, show] of [["msg", showMsg], ["sem", showSem], ["shm", showShm]] as const) {
      root.dir("sysvipc").add(name, new TextFile(this, { mode: 0o444, writeErrno: Errno.EIO, show }));
    }
    for (const [name, file] of kpageFiles(this)) root.add(name, file);
    populateSysctl(root.dir("sys"), uts);
  }
}

function* constant(k: Kernel, text: string): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  return text;
}
