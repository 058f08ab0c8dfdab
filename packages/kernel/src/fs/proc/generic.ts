import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import { TaskState } from "../../kernel/sched.js";
import { REALTIME_AT_BOOT_S } from "../../kernel/time.js";
import type { Kernel } from "../../kernel.js";
import type { Mount } from "../namei.js";
import { majorOf, minorOf, type UtsName } from "../vfs.js";

/** What the CPUs of the machine implement, in the spelling of riscv's cpuinfo. */
const ISA = "rv64imafdc_zicntr_zicsr_zifencei_svrsw60t59b";

/** /proc/swaps. */
export function* showSwaps(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  const { total, used } = k.m.swap;
  if (total > 0) {
    const column = (kb: number) => `${kb}\t${kb < 10_000_000 ? "\t" : ""}`;
    text += `${"/dev/vda".padEnd(40)}partition\t${column(total * 4)}${column(used * 4)}-1\n`;
  }
  return text;
}

/** Seconds with two decimals, as uptime prints them. */
function seconds(ns: number): string {
  const hundredths = Math.floor(ns / 1e7);
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}`;
}

/** Nanoseconds that tasks have used, by what for. Kernel threads are not timed. */
function busyNs(k: Kernel): { user: number; system: number } {
  let user = 0;
  let system = 0;
  for (const process of k.m.processes.values()) {
    user += process.gone.userTimeNs;
    system += process.gone.systemTimeNs;
    for (const { thread } of process.threads) {
      user += thread.userTimeNs;
      system += thread.systemTimeNs;
    }
  }
  return { user, system };
}

/** /proc/uptime: since boot, and idle time of all CPUs together. */
export function* showUptime(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  const now = k.m.now();
  const { user, system } = busyNs(k);
  return `${seconds(now)} ${seconds(Math.max(0, now * k.m.config.cpus - user - system))}\n`;
}

/** /proc/stat. Times are not kept for each CPU: the first one has them all. */
export function* showStat(k: Kernel): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const ticks = (ns: number) => Math.floor(ns / 1e7);
  const { user, system } = busyNs(k);
  const now = m.now();
  const { cpus } = m.config;
  const cpuLine = (u: number, s: number, idle: number) => `${ticks(u)} 0 ${ticks(s)} ${ticks(idle)} 0 0 0 0 0 0\n`;
  let text = `cpu  ${cpuLine(user, system, Math.max(0, now * cpus - user - system))}`;
  for (let cpu = 0; cpu < cpus; cpu++) {
    const [u, s] = cpu === 0 ? [user, system] : [0, 0];
    text += `cpu${cpu} ${cpuLine(u, s, Math.max(0, now - u - s))}`;
  }
  const { running, blocked } = loads(k);
  return (
    `${text}intr 0\nctxt 0\nbtime ${REALTIME_AT_BOOT_S}\nprocesses ${lastId(k)}\n` +
    `procs_running ${running}\nprocs_blocked ${blocked}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n`
  );
}

function loads(k: Kernel): { running: number; blocked: number; all: number } {
  let running = 0;
  let blocked = 0;
  let all = 0;
  for (const task of k.m.tasks.values()) {
    if (task.executor.isDevice) continue;
    all++;
    if (task.state === TaskState.Running) running++;
    else if (task.process !== null && task.state !== TaskState.Interruptible) blocked++;
  }
  return { running, blocked, all };
}

function lastId(k: Kernel): number {
  let last = 0;
  for (const id of k.m.tasks.keys()) if (id > last) last = id;
  return last;
}

/** /proc/loadavg: averages are not kept. */
export function* showLoadavg(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  const { running, all } = loads(k);
  return `0.00 0.00 0.00 ${running}/${all} ${lastId(k)}\n`;
}

export function* showCpuinfo(k: Kernel): MaySleep<string> {
  if (k.m.point(Op.Stats, 0)) yield SWITCH;
  let text = "";
  for (let cpu = 0; cpu < k.m.config.cpus; cpu++) {
    text +=
      `processor\t: ${cpu}\nhart\t\t: ${cpu}\nisa\t\t: ${ISA}\nmmu\t\t: sv39\n` +
      `mvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\nhart isa\t: ${ISA}\n\n`;
  }
  return text;
}

export function versionText(uts: UtsName): string {
  return `${uts.sysname} version ${uts.release} ${uts.version}\n`;
}

/** /proc/filesystems. */
export const FILESYSTEMS = ["sysfs", "tmpfs", "proc", "cgroup2", "devtmpfs", "hugetlbfs", "virtiofs"].map((fs) => `nodev\t${fs}\n`).join("");

function superOptions(first: string, { fs }: Mount): string {
  return fs.superOptions === "" ? first : `${first},${fs.superOptions}`;
}

/** /proc/mounts. */
export function mountsText(mounts: readonly Mount[]): string {
  return mounts.map((m) => `${m.fs.source} ${m.path} ${m.fs.type} ${superOptions(m.fs.options, m)} 0 0\n`).join("");
}

/** The id of the first mount in mountinfo; the next ones follow. */
const FIRST_MOUNT_ID = 21;

/** The id of the first mount of a file system, by its device number; that behind all for what is mounted nowhere, as pipes are. */
export function mountIdOf(mounts: readonly Mount[], dev: number): number {
  const i = mounts.findIndex(({ fs }) => fs.dev === dev);
  return FIRST_MOUNT_ID + (i < 0 ? mounts.length : i);
}

/** /proc/PID/mountinfo. */
export function mountinfoText(mounts: readonly Mount[]): string {
  return mounts
    .map((m, i) => {
      const above = mounts.findLastIndex((o, j) => j < i && (o.path === "/" || m.path.startsWith(`${o.path}/`)));
      const parent = above < 0 ? 1 : FIRST_MOUNT_ID + above;
      const { fs, path } = m;
      return (
        `${FIRST_MOUNT_ID + i} ${parent} ${majorOf(fs.dev)}:${minorOf(fs.dev)} / ${path} ${fs.options} - ` +
        `${fs.type} ${fs.source} ${superOptions("rw", m)}\n`
      );
    })
    .join("");
}
