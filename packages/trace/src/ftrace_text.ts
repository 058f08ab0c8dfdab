import { Contention, Event, gfpText, PagemapFlag, TaskState } from "@faultline/kernel";
import { ARGS_MAX } from "./codec.js";
import { NameKind, Names } from "./names.js";
import { EVENTS, type ArgKind } from "./schema.js";
import type { TraceConsumer } from "./tracer.js";

/** First pfn of RAM: pages of events are numbers from there. */
const RAM_BASE_PFN = 0x80000;
/** Where riscv64's Sv39 has the array of struct page (Documentation/arch/riscv/vm-layout.rst), 64 bytes each. */
const VMEMMAP = 0xffff_ffc5_0000_0000n;
const DEFAULT_PRIO = 120;

/** By RssKind. */
export const RSS = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES"];
const LRU = ["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"];
const TLB_FLUSH = ["flush on task switch", "remote shootdown", "local shootdown", "local MM shootdown", "remote IPI send"];
const NOTIFY = ["UNMAP", "CLEAR", "PROTECTION_VMA", "PROTECTION_PAGE", "SOFT_DIRTY", "RELEASE", "MIGRATE", "EXCLUSIVE"];
/** By TaskState; a task that can still run was preempted. */
const PREV_STATE: Readonly<Record<TaskState, string>> = {
  [TaskState.Running]: "R+",
  [TaskState.Interruptible]: "S",
  [TaskState.Killable]: "D",
  [TaskState.Uninterruptible]: "D",
  [TaskState.Dead]: "X",
  [TaskState.Stopped]: "T",
};

/** Columns of lines, as the kernel's own file has them above its events. */
const COLUMNS = `#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
`;

/** Digits left for the numbers of events: they are known at the end only. */
const COUNT_WIDTH = 12;

/**
 * The text of a trace as /sys/kernel/tracing/trace has it (Documentation/trace/ftrace.rst, "Output
 * format"), with the formats of the kernel's own events. A device is a CPU behind the last. Events
 * that Linux does not have are written as their name and `argument=value`.
 */
export class FtraceText implements TraceConsumer {
  events = 0;
  private readonly names = new Names();
  private readonly format: Formats;

  /**
   * @param write takes text as it comes
   * @param cpus CPUs of the machine
   */
  constructor(
    private readonly write: (text: string) => void,
    private readonly cpus: number,
  ) {
    this.format = new Formats(this.names);
    write(`${this.preamble(" ".repeat(2 * COUNT_WIDTH + 1))}${COLUMNS}`);
  }

  /** The first lines of the file, of the same length as at the start, now with the number of events. */
  finalPreamble(): string {
    return this.preamble(`${this.events}/${this.events}`.padEnd(2 * COUNT_WIDTH + 1));
  }

  name(kind: NameKind, id: number, text: string): void {
    if (kind === NameKind.Task) this.format.renamed(id, this.names.get(kind, id) ?? text);
    // A name may be anything that prctl(2) took, and must not look like another line.
    this.names.set(kind, id, text.replaceAll(/\p{Cc}/gu, "?"));
  }

  event(
    time: number,
    executor: number,
    task: number,
    event: Event,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    g: number,
  ): void {
    this.events++;
    const comm = task === 0 ? "<idle>" : this.format.comm(task, executor);
    const seconds = Math.floor(time / 1e9);
    const micros = Math.floor((time % 1e9) / 1e3);
    const stamp = `${String(seconds).padStart(5)}.${String(micros).padStart(6, "0")}`;
    const cpu = String(executor).padStart(3, "0");
    const args = this.format.of(event, executor, [a, b, c, d, e, f, g]);
    this.write(`${comm.padStart(16)}-${String(task).padEnd(7)} [${cpu}] ..... ${stamp}: ${EVENTS[event]!.name}: ${args}\n`);
  }

  private preamble(counts: string): string {
    return `# tracer: nop\n#\n# entries-in-buffer/entries-written: ${counts}   #P:${this.cpus}\n`;
  }
}

function hex(value: number): string {
  return value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value.toString(16) : BigInt.asUintN(64, BigInt(Math.trunc(value))).toString(16);
}

/** What %p prints: opaque, and the same for the same thing. */
function pointer(value: number | bigint): string {
  return value.toString(16).padStart(16, "0");
}

function pageArgs(page: number): string {
  const pfn = RAM_BASE_PFN + page;
  return `${pointer(VMEMMAP + BigInt(pfn) * 64n)} pfn=0x${pfn.toString(16)}`;
}

function reclaimFlags(file: number): string {
  return file !== 0 ? "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC" : "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC";
}

/** The arguments of events as text. */
class Formats {
  private readonly formerNames = new Map<number, string>();
  private readonly known: Readonly<Partial<Record<Event, (args: readonly number[], executor: number) => string>>>;

  constructor(private readonly names: Names) {
    const task = (pid: number): string => `comm=${this.comm(pid, 0)} pid=${pid}`;
    const bool = (value: number | undefined): string => (value === 1 ? "true" : "false");
    const wakeup = ([pid, cpu]: readonly number[]): string => `${task(pid!)} prio=${DEFAULT_PRIO} target_cpu=${String(cpu).padStart(3, "0")}`;
    const mmapLock = ([mm, write]: readonly number[]): string => `mm=${pointer(mm!)} memcg_id=1 write=${bool(write)}`;
    const fault = ([address, ip, cause]: readonly number[]): string => `address=0x${hex(address!)} ip=0x${hex(ip!)} error_code=0x${cause!.toString(16)}`;
    const reclaimBegin = ([order, gfp]: readonly number[]): string => `order=${order} gfp_flags=${gfpText(gfp!)}`;
    const reclaimEnd = ([pages]: readonly number[]): string => `nr_reclaimed=${pages}`;
    this.known = {
      [Event.MmPageAlloc]: ([page, order, type, gfp]) => `page=${pageArgs(page!)} order=${order} migratetype=${type} gfp_flags=${gfpText(gfp!)}`,
      [Event.MmPageFree]: ([page, order]) => `page=${pageArgs(page!)} order=${order}`,
      [Event.RssStat]: ([mm, member, pages, curr]) => `mm_id=${mm} curr=${curr} type=${RSS[member!]} size=${pages! * 4096}B`,
      [Event.MmLruInsertion]: ([folio, lru, flags]) => `folio=${pageArgs(folio!)} lru=${lru} flags=${pagemapFlags(flags!)}`,
      [Event.MmLruActivate]: ([folio]) => `folio=${pageArgs(folio!)}`,
      [Event.SchedSwitch]: ([prev, state, next], executor) =>
        `prev_comm=${this.comm(prev!, executor)} prev_pid=${prev} prev_prio=${DEFAULT_PRIO} prev_state=${prev === 0 ? "R" : PREV_STATE[state as TaskState]} ==> ` +
        `next_comm=${this.comm(next!, executor)} next_pid=${next} next_prio=${DEFAULT_PRIO}`,
      [Event.SchedWakeup]: wakeup,
      [Event.SchedWakeupNew]: wakeup,
      [Event.SchedProcessExit]: ([pid, dead]) => `${task(pid!)} prio=${DEFAULT_PRIO} group_dead=${bool(dead)}`,
      [Event.TaskNewtask]: ([pid, flags, adj]) => `pid=${pid} comm=${this.comm(pid!, 0)} clone_flags=${hex(flags!)} oom_score_adj=${adj}`,
      [Event.TaskRename]: ([pid, adj]) =>
        `pid=${pid} oldcomm=${this.formerNames.get(pid!) ?? this.comm(pid!, 0)} newcomm=${this.comm(pid!, 0)} oom_score_adj=${adj}`,
      [Event.SysEnter]: ([nr, ...args]) => `NR ${nr} (${args.slice(0, 6).map(hex).join(", ")})`,
      [Event.SysExit]: ([nr, ret]) => `NR ${nr} = ${ret}`,
      [Event.PageFaultUser]: fault,
      [Event.PageFaultKernel]: fault,
      [Event.SignalGenerate]: ([sig, errno, code, pid, group, result]) =>
        `sig=${sig} errno=${errno} code=${code} ${task(pid!)} grp=${group} res=${result}`,
      [Event.SignalDeliver]: ([sig, errno, code, handler, flags]) =>
        `sig=${sig} errno=${errno} code=${code} sa_handler=${hex(handler!)} sa_flags=${hex(flags!)}`,
      [Event.MmapLockStartLocking]: mmapLock,
      [Event.MmapLockReleased]: mmapLock,
      [Event.MmapLockAcquireReturned]: (args) => `${mmapLock(args)} success=${bool(args[2])}`,
      [Event.ContentionBegin]: ([lock, flags]) => `${pointer(lock!)} (flags=${contentionFlags(flags!)})`,
      [Event.ContentionEnd]: ([lock, ret]) => `${pointer(lock!)} (ret=${ret})`,
      [Event.LockAcquired]: ([lock, cls]) => `${pointer(lock!)} ${this.named(NameKind.LockClass, cls!)}`,
      [Event.LockRelease]: ([lock, cls]) => `${pointer(lock!)} ${this.named(NameKind.LockClass, cls!)}`,
      [Event.TlbFlush]: ([pages, reason]) => `pages:${pages} reason:${TLB_FLUSH[reason!] ?? "?"} (${reason})`,
      [Event.MmVmscanKswapdSleep]: ([nid]) => `nid=${nid}`,
      [Event.MmVmscanKswapdWake]: ([nid, order]) => `nid=${nid} order=${order}`,
      [Event.MmVmscanWakeupKswapd]: ([nid, order, gfp]) => `nid=${nid} order=${order} gfp_flags=${gfpText(gfp!)}`,
      [Event.MmVmscanDirectReclaimBegin]: reclaimBegin,
      [Event.MmVmscanMemcgReclaimBegin]: reclaimBegin,
      [Event.MmVmscanDirectReclaimEnd]: reclaimEnd,
      [Event.MmVmscanMemcgReclaimEnd]: reclaimEnd,
      [Event.MmVmscanLruIsolate]: ([order, requested, scanned, skipped, taken, lru]) =>
        `classzone=1 order=${order} nr_requested=${requested} nr_scanned=${scanned} nr_skipped=${skipped} nr_taken=${taken} lru=${LRU[lru!] ?? lru}`,
      [Event.MmVmscanLruShrinkInactive]: ([nid, scanned, reclaimed, writeback, activated, priority, file]) =>
        `nid=${nid} nr_scanned=${scanned} nr_reclaimed=${reclaimed} nr_dirty=0 nr_writeback=${writeback} nr_congested=0 nr_immediate=0 ` +
        `nr_activate_anon=${file === 1 ? 0 : activated} nr_activate_file=${file === 1 ? activated : 0} nr_ref_keep=0 nr_unmap_fail=0 ` +
        `priority=${priority} flags=${reclaimFlags(file!)}`,
      [Event.MmVmscanWriteFolio]: ([folio, file]) => `page=${pageArgs(folio!)} flags=${reclaimFlags(file!)}`,
      [Event.MarkVictim]: ([pid, total, anon, file, shmem, tables, adj]) =>
        `pid=${pid} comm=${this.comm(pid!, 0)} total-vm=${total}kB anon-rss=${anon}kB file-rss:${file}kB shmem-rss:${shmem}kB ` +
        `uid=0 pgtables=${tables}kB oom_score_adj=${adj}`,
    };
  }

  renamed(pid: number, former: string): void {
    this.formerNames.set(pid, former);
  }

  comm(pid: number, executor: number): string {
    return pid === 0 ? `swapper/${executor}` : this.named(NameKind.Task, pid);
  }

  of(event: Event, executor: number, args: readonly number[]): string {
    const known = this.known[event];
    if (known !== undefined) return known(args, executor);
    return EVENTS[event]!.args
      .slice(0, ARGS_MAX)
      .map(([name, kind], i) => this.own(name, kind, args[i]!))
      .join(" ");
  }

  /** An argument of one of our own events. */
  private own(name: string, kind: ArgKind, value: number): string {
    switch (kind) {
      case "page":
        return `${name}=${pageArgs(value)}`;
      case "vpn":
        return `${name}=0x${hex(value * 4096)}`;
      case "mm":
      case "lock":
      case "ptep":
        return `${name}=${pointer(value)}`;
      case "function":
        return `${name}=${this.named(NameKind.Function, value)}`;
      case "device":
        return `${name}=${this.named(NameKind.Device, value)}`;
      case "lockClass":
        return `${name}=${this.named(NameKind.LockClass, value)}`;
      case "executor":
      case "pid":
      case "syscall":
      case "raw":
      case "int":
        if (name === "event") return `${name}=MMU_NOTIFY_${NOTIFY[value] ?? value}`;
        return name === "pfn" || name === "flags" ? `${name}=0x${hex(value >>> 0)}` : `${name}=${value}`;
    }
  }

  private named(kind: NameKind, id: number): string {
    return this.names.get(kind, id) ?? "<...>";
  }
}

function pagemapFlags(flags: number): string {
  const char = (flag: PagemapFlag, letter: string): string => ((flags & flag) !== 0 ? letter : " ");
  return [
    char(PagemapFlag.MAPPED, "M"),
    (flags & PagemapFlag.ANONYMOUS) !== 0 ? "a" : "f",
    char(PagemapFlag.SWAPCACHE, "s"),
    char(PagemapFlag.SWAPBACKED, "b"),
    "  ",
  ].join("");
}

function contentionFlags(flags: number): string {
  const names: readonly (readonly [Contention, string])[] = [
    [Contention.SPIN, "SPIN"],
    [Contention.READ, "READ"],
    [Contention.WRITE, "WRITE"],
    [Contention.MUTEX, "MUTEX"],
  ];
  return names.flatMap(([flag, name]) => ((flags & flag) !== 0 ? [name] : [])).join("|");
}
