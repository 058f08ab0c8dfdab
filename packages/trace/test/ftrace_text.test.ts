import { describe, expect, test } from "vitest";
import { parseOperatorLine, type LinuxMachine, type OperatorLine } from "@faultline/riscv";
import { EVENTS, FtraceText, Tracer } from "../src/index.js";
import { guest } from "./guest.js";

/*
 * The grammar of ftrace's text, from Documentation/trace/ftrace.rst ("Output format") and
 * Documentation/trace/events.rst; the formats of single events are those that their files
 * /sys/kernel/tracing/events/SYSTEM/EVENT/format give as "print fmt".
 */
const PREAMBLE = /^# tracer: nop\n#\n# entries-in-buffer\/entries-written: (\d+)\/(\d+) {3,}#P:(\d+)\n(#.*\n)+/;
const LINE = /^ *(?<comm>.{1,16})-(?<pid>\d+) +\[(?<cpu>\d{3})\] (?<flags>[.\w]{5}) +(?<seconds>\d+)\.(?<micros>\d{6}): (?<event>\w+): ?(?<args>.*)$/;

const PRINT_FMT: Readonly<Record<string, string>> = {
  mm_page_alloc: "page=%p pfn=0x%lx order=%d migratetype=%d gfp_flags=%s",
  mm_page_free: "page=%p pfn=0x%lx order=%d",
  rss_stat: "mm_id=%u curr=%d type=%s size=%ldB",
  mm_lru_insertion: "folio=%p pfn=0x%lx lru=%d flags=%s",
  mm_lru_activate: "folio=%p pfn=0x%lx",
  sched_switch: "prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s ==> next_comm=%s next_pid=%d next_prio=%d",
  sched_wakeup: "comm=%s pid=%d prio=%d target_cpu=%03d",
  sched_wakeup_new: "comm=%s pid=%d prio=%d target_cpu=%03d",
  sched_process_exit: "comm=%s pid=%d prio=%d group_dead=%s",
  task_newtask: "pid=%d comm=%s clone_flags=%lx oom_score_adj=%hd",
  task_rename: "pid=%d oldcomm=%s newcomm=%s oom_score_adj=%hd",
  sys_enter: "NR %ld (%lx, %lx, %lx, %lx, %lx, %lx)",
  sys_exit: "NR %ld = %ld",
  page_fault_user: "address=0x%lx ip=0x%lx error_code=0x%lx",
  page_fault_kernel: "address=0x%lx ip=0x%lx error_code=0x%lx",
  signal_generate: "sig=%d errno=%d code=%d comm=%s pid=%d grp=%d res=%d",
  signal_deliver: "sig=%d errno=%d code=%d sa_handler=%lx sa_flags=%lx",
  mmap_lock_start_locking: "mm=%p memcg_id=%llu write=%s",
  mmap_lock_acquire_returned: "mm=%p memcg_id=%llu write=%s success=%s",
  mmap_lock_released: "mm=%p memcg_id=%llu write=%s",
  contention_begin: "%p (flags=%s)",
  contention_end: "%p (ret=%d)",
  lock_acquired: "%p %s",
  lock_release: "%p %s",
  tlb_flush: "pages:%ld reason:%s (%d)",
  mm_vmscan_kswapd_sleep: "nid=%d",
  mm_vmscan_kswapd_wake: "nid=%d order=%d",
  mm_vmscan_wakeup_kswapd: "nid=%d order=%d gfp_flags=%s",
  mm_vmscan_direct_reclaim_begin: "order=%d gfp_flags=%s",
  mm_vmscan_direct_reclaim_end: "nr_reclaimed=%lu",
  mm_vmscan_memcg_reclaim_begin: "order=%d gfp_flags=%s",
  mm_vmscan_memcg_reclaim_end: "nr_reclaimed=%lu",
  mm_vmscan_lru_isolate: "classzone=%d order=%d nr_requested=%lu nr_scanned=%lu nr_skipped=%lu nr_taken=%lu lru=%s",
  mm_vmscan_lru_shrink_inactive:
    "nid=%d nr_scanned=%ld nr_reclaimed=%ld nr_dirty=%ld nr_writeback=%ld nr_congested=%ld nr_immediate=%ld " +
    "nr_activate_anon=%d nr_activate_file=%d nr_ref_keep=%ld nr_unmap_fail=%ld priority=%d flags=%s",
  mm_vmscan_write_folio: "page=%p pfn=0x%lx flags=%s",
  mark_victim:
    "pid=%d comm=%s total-vm=%lukB anon-rss=%lukB file-rss:%lukB shmem-rss:%lukB uid=%u pgtables=%lukB oom_score_adj=%hd",
};

const DIRECTIVES: readonly (readonly [RegExp, string])[] = [
  [/%0(\d)d/g, "\\d{$1,}"],
  [/%l{0,2}u/g, "\\d+"],
  [/%(?:l|h)?d/g, "-?\\d+"],
  [/%lx/g, "[0-9a-f]{1,16}"],
  [/%p/g, "[0-9a-f]{16}"],
  [/%s/g, ".+"],
];

function grammarOf(format: string): RegExp {
  let pattern = format.replaceAll(/[()=+|]/g, "\\$&");
  for (const [directive, matches] of DIRECTIVES) pattern = pattern.replaceAll(directive, matches);
  return new RegExp(`^${pattern}$`);
}

const GRAMMARS = new Map(Object.entries(PRINT_FMT).map(([name, format]) => [name, grammarOf(format)]));

interface Line {
  readonly comm: string;
  readonly pid: number;
  readonly cpu: number;
  readonly time: number;
  readonly event: string;
  readonly args: string;
}

/** The text of a run, and its lines, each of which the grammar must know. */
function linesOf(linux: LinuxMachine, functions = false): Line[] {
  let body = "";
  const text = new FtraceText((part) => (body += part), 2);
  const tracer = new Tracer(linux.m, text);
  linux.m.sink = tracer;
  if (functions) {
    linux.m.ftrace!.emitting = true;
    linux.m.locks.observer = tracer;
  }
  linux.run();
  const final = text.finalPreamble();
  const whole = final + body.slice(final.length);
  const preamble = PREAMBLE.exec(whole);
  expect(preamble).not.toBeNull();
  const rows = whole.slice(preamble![0].length).split("\n");
  expect(rows.pop()).toBe("");
  expect(preamble!.slice(1, 4)).toEqual([String(rows.length), String(rows.length), "2"]);
  return rows.map((row) => {
    const groups = LINE.exec(row)?.groups;
    if (groups === undefined) throw new Error(`not a line of ftrace: ${row}`);
    const { comm, pid, cpu, seconds, micros, event, args } = groups as Record<string, string>;
    const info = EVENTS.find(({ name }) => name === event);
    if (info === undefined) throw new Error(`no event: ${row}`);
    const grammar = GRAMMARS.get(event!);
    if (grammar === undefined && info.system !== "faultline") throw new Error(`Linux has ${event}, and the test no format of it`);
    if (!(grammar ?? /^(\w+=\S+( pfn=0x[0-9a-f]+)?( |$))*$/).test(args!)) throw new Error(`not as its format says: ${row}`);
    return { comm: comm!.trimStart(), pid: Number(pid), cpu: Number(cpu), time: Number(seconds) * 1e6 + Number(micros), event: event!, args: args! };
  });
}

function lines(...texts: readonly string[]): OperatorLine[] {
  return texts.map((text) => parseOperatorLine(text) as OperatorLine);
}

const seen = new Set<string>();

describe("ftrace's text of", () => {
  const runs: Readonly<Record<string, () => LinuxMachine>> = {
    "threads and a device": () => guest("counter", ["3", "1000", "device"]),
    "memory that runs out": () => guest("oom", [], { memoryBytes: 2 ** 24, swapBytes: 2 ** 22 }),
    "reclaim of exclusive memory": () =>
      guest("exclusive-swap", ["step", "4"], { lines: lines("kill -CONT $PID", "echo 4M > /sys/fs/cgroup/memory.reclaim") }),
    signals: () => guest("signals"),
    "system calls": () => guest("calls"),
    "a program that faults": () => guest("segv"),
  };

  test.each(Object.entries(runs))("%s: every line is in the kernel's grammar", (_, make) => {
    const rows = linesOf(make());
    let time = 0;
    const running = new Map<number, number>();
    for (const { event, args, cpu, pid, time: now } of rows) {
      seen.add(event);
      expect(now).toBeGreaterThanOrEqual(time);
      time = now;
      if (event !== "sched_switch") continue;
      const [, prev, next] = /prev_pid=(\d+) .* next_pid=(\d+)/.exec(args)!.map(Number);
      expect(prev, `who leaves CPU ${cpu} at ${now}`).toBe(running.get(cpu) ?? 0);
      expect(pid).toBe(prev);
      running.set(cpu, next!);
    }
  });

  test("an allocation says for whom it is", () => {
    const rows = linesOf(guest("hello"));
    const flags = new Set(rows.flatMap(({ event, args }) => (event === "mm_page_alloc" ? [args.replace(/^.*(migratetype)/, "$1")] : [])));
    expect(flags).toContain("migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP");
    expect(flags).toContain("migratetype=0 gfp_flags=GFP_KERNEL");
  });

  test("kernel functions and locks", () => {
    const rows = linesOf(guest("hello", [], { ftrace: true }), true);
    for (const { event } of rows) seen.add(event);
    expect(rows.map(({ event, args }) => `${event} ${args}`)).toContain("funcgraph_entry func=do_anonymous_page");
  });

  test("all these together has every event but two, which need pages that are used again and again, and a device that shares a page table", () => {
    expect(EVENTS.map(({ name }) => name).filter((name) => !seen.has(name))).toEqual(["mm_lru_activate", "mmu_notifier_arch_invalidate_secondary_tlbs"]);
  });
});

test("a name cannot look like a line of its own", () => {
  let body = "";
  const text = new FtraceText((part) => (body += part), 1);
  text.name(0, 7, "a\n# tracer: nop");
  text.event(1, 0, 7, 0, 5, 0, 0, 0, 0, 0, 0);
  expect(body.match(/tracer: nop/g)).toHaveLength(2);
  expect(body.trimEnd().split("\n").at(-1)).toMatch(LINE);
});
