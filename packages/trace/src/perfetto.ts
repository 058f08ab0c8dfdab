import protobuf from "protobufjs";
import { Event } from "@faultline/kernel";
import { RSS } from "./ftrace_text.js";
import { NameKind, Names } from "./names.js";
import { PERFETTO_PROTO } from "./perfetto_proto.js";
import { EVENTS, type ArgKind } from "./schema.js";
import type { TraceConsumer } from "./tracer.js";

enum EventType {
  Begin = 1,
  End = 2,
  Instant = 3,
  Counter = 4,
}

enum SequenceFlag {
  Cleared = 1,
  Needed = 2,
}

/** CounterDescriptor's UNIT_SIZE_BYTES. */
const UNIT_BYTES = 3;
/** BUILTIN_CLOCK_BOOTTIME: nanoseconds since boot. */
const CLOCK_BOOTTIME = 6;
const SEQUENCE = 1;

/** A track, with what has begun on it and not ended, outermost first. */
interface Lane {
  readonly uuid: number;
  readonly open: string[];
}

/** What one task has on the screen, made when it is first needed. */
interface TaskLanes {
  /** System calls, kernel functions, reclaim, and everything that happens at one moment. */
  readonly main: Lane;
  waits: Lane | null;
  notifier: Lane | null;
  /** Held locks by class; several of a class at once need several lanes, since they need not nest. */
  readonly locks: Map<string, Lane[]>;
  /** Flows of invalidations that have begun; null once a device has taken it. */
  readonly flows: (number | null)[];
}

/** Where a lock's slice is, to be ended. */
interface Held {
  readonly task: number;
  readonly lane: Lane;
}

interface Extras {
  readonly args?: readonly Annotation[];
  readonly flow?: number;
  readonly endsFlow?: number;
}

type Annotation = readonly [name: string, value: number | string];

/** Begin and end of a slice on the task's main lane, by the name that both share. */
const RECLAIM: Readonly<Partial<Record<Event, readonly [string, boolean]>>> = {
  [Event.MmVmscanDirectReclaimBegin]: ["direct reclaim", true],
  [Event.MmVmscanDirectReclaimEnd]: ["direct reclaim", false],
  [Event.MmVmscanMemcgReclaimBegin]: ["memcg reclaim", true],
  [Event.MmVmscanMemcgReclaimEnd]: ["memcg reclaim", false],
};

/**
 * A trace for https://ui.perfetto.dev: a protobuf Trace of TrackEvents. One lane for each CPU and
 * device with who runs on it, one for each task with its system calls and kernel functions as
 * nested slices, below it the locks that it holds and waits for and the invalidations it makes;
 * flows lead from an invalidation to the devices that it reaches.
 */
export class PerfettoTrace implements TraceConsumer {
  private readonly packetType: protobuf.Type;
  private readonly names = new Names();
  private readonly interned = new Map<string, number>();
  private lastUuid = 0;
  private lastFlow = 0;
  private time = 0;
  private readonly groups: { readonly cpus: number; readonly tasks: number; readonly devices: number; readonly memory: number };
  private readonly executors = new Map<number, Lane>();
  private readonly devices = new Map<number, Lane>();
  private readonly counters = new Map<string, number>();
  private readonly tasks = new Map<number, TaskLanes>();
  private readonly held = new Map<string, Held[]>();
  private readonly lanes: Lane[] = [];

  /**
   * @param write takes the bytes of the file as they come
   * @param locks whether all locks were recorded, rather than those with tracepoints of their own
   */
  constructor(
    private readonly write: (bytes: Uint8Array) => void,
    private readonly locks: boolean,
  ) {
    this.packetType = protobuf.parse(PERFETTO_PROTO, { keepCase: true }).root.lookupType("perfetto.protos.TracePacket");
    this.packet({ sequence_flags: SequenceFlag.Cleared });
    this.groups = {
      cpus: this.track("CPUs and devices' engines", null, 0),
      tasks: this.track("Tasks", null, 1),
      devices: this.track("Devices", null, 2),
      memory: this.track("Address spaces", null, 3),
    };
  }

  name(kind: NameKind, id: number, text: string): void {
    this.names.set(kind, id, text);
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
    this.time = time;
    const args = [a, b, c, d, e, f, g];
    if (!this.slice(event, executor, task, args)) this.instant(this.laneOf(event, task, args), EVENTS[event]!.name, { args: this.annotations(event, args) });
  }

  /** Ends what has not ended; the file is complete. */
  finish(): void {
    for (const lane of this.lanes) while (lane.open.length > 0) this.end(lane, lane.open.at(-1)!);
  }

  /** Begins or ends a slice for what lasts; false for everything else. */
  private slice(event: Event, executor: number, task: number, args: readonly number[]): boolean {
    const [a, b, c] = args as [number, number, number];
    switch (event) {
      case Event.SchedSwitch: {
        const lane = this.executorLane(executor);
        if (a !== 0) this.end(lane, `task ${a}`);
        if (c !== 0) this.begin(lane, `task ${c}`, this.taskName(c), { args: [["pid", c]] });
        return true;
      }
      case Event.SysEnter: {
        const { main } = this.laneset(task);
        // One that never returned: exit(2), or a signal's handler in its place.
        this.end(main, "sys");
        this.begin(main, "sys", this.names.get(NameKind.Syscall, a) ?? `syscall ${a}`, { args: this.annotations(event, args) });
        return true;
      }
      case Event.SysExit:
        this.end(this.laneset(task).main, "sys", { args: [["ret", b]] });
        return true;
      case Event.SchedProcessExit:
        this.instant(this.laneset(task).main, EVENTS[event]!.name, { args: this.annotations(event, args) });
        return true;
      case Event.FuncEntry:
        this.begin(this.laneset(task).main, `fn ${a}`, this.names.get(NameKind.Function, a) ?? `function ${a}`);
        return true;
      case Event.FuncExit:
        this.end(this.laneset(task).main, `fn ${a}`);
        return true;
      case Event.InvalidateStart: {
        const set = this.laneset(task);
        const flow = ++this.lastFlow;
        set.flows.push(flow);
        this.begin(this.notifierLane(task), `invalidate ${set.flows.length}`, "mmu_notifier_invalidate_range", {
          args: this.annotations(event, args),
          flow,
        });
        return true;
      }
      case Event.InvalidateEnd: {
        const set = this.laneset(task);
        this.end(this.notifierLane(task), `invalidate ${set.flows.length}`);
        set.flows.pop();
        return true;
      }
      case Event.RssStat:
        this.count(`mm ${a}: ${RSS[b]}`, c * 4096);
        return true;
      case Event.DeviceInvalidate:
        this.deviceInvalidate(task, args);
        return true;
      case Event.ContentionBegin:
        this.begin(this.waitLane(task), `wait ${a}`, `waits for ${this.names.get(NameKind.LockClass, c) ?? "a lock"}`, {
          args: this.annotations(event, args),
        });
        return true;
      case Event.ContentionEnd:
        this.end(this.waitLane(task), `wait ${a}`);
        return true;
      case Event.LockAcquired:
        this.acquired(c, this.names.get(NameKind.LockClass, b) ?? "lock", a);
        return true;
      case Event.LockRelease:
        this.released(task, this.names.get(NameKind.LockClass, b) ?? "lock", a);
        return true;
      case Event.MmapLockAcquireReturned:
        if (!this.locks && c !== 0) this.acquired(task, "mmap_lock", a);
        return !this.locks;
      case Event.MmapLockReleased:
        if (!this.locks) this.released(task, "mmap_lock", a);
        return !this.locks;
      case Event.FolioLock:
        if (this.locks || (b === 0 && c === 0)) return false;
        if (b === 0) this.acquired(task, "folio_lock", a);
        else this.released(task, "folio_lock", a);
        return true;
      default: {
        const reclaim = RECLAIM[event];
        if (reclaim === undefined) return false;
        const { main } = this.laneset(task);
        if (reclaim[1]) this.begin(main, reclaim[0], reclaim[0], { args: this.annotations(event, args) });
        else this.end(main, reclaim[0], { args: this.annotations(event, args) });
        return true;
      }
    }
  }

  private count(name: string, value: number): void {
    let uuid = this.counters.get(name);
    if (uuid === undefined) this.counters.set(name, (uuid = this.track(name, this.groups.memory, this.counters.size, { counter: { unit: UNIT_BYTES } })));
    this.timed({ type: EventType.Counter, track_uuid: uuid, counter_value: value }, null);
  }

  /** An arrow from the invalidation to the device; a second device's begins where it is called. */
  private deviceInvalidate(task: number, args: readonly number[]): void {
    const set = this.laneset(task);
    let flow = set.flows.at(-1) ?? null;
    if (flow === null) {
      flow = ++this.lastFlow;
      this.instant(this.notifierLane(task), "calls the next device", { flow });
    } else set.flows[set.flows.length - 1] = null;
    this.instant(this.deviceLane(args[0]!), "device_invalidate", { args: this.annotations(Event.DeviceInvalidate, args), endsFlow: flow });
  }

  private acquired(task: number, cls: string, id: number): void {
    const { main, locks } = this.laneset(task);
    let lanes = locks.get(cls);
    if (lanes === undefined) locks.set(cls, (lanes = []));
    let lane = lanes.find(({ open }) => open.length === 0);
    if (lane === undefined) lanes.push((lane = this.lane(`holds ${cls}`, main.uuid, 2)));
    const key = `${cls} ${id}`;
    this.begin(lane, key, cls, { args: [["lock", id]] });
    const holders = this.held.get(key);
    if (holders === undefined) this.held.set(key, [{ task, lane }]);
    else holders.push({ task, lane });
  }

  private released(task: number, cls: string, id: number): void {
    const key = `${cls} ${id}`;
    const holders = this.held.get(key);
    if (holders === undefined) return;
    // Others may release it: a page that the disk has read.
    const i = Math.max(0, holders.findIndex((holder) => holder.task === task));
    const [holder] = holders.splice(i, 1);
    this.end(holder!.lane, key);
    if (holders.length === 0) this.held.delete(key);
  }

  /* Lanes. */

  private laneOf(event: Event, task: number, args: readonly number[]): Lane {
    return event === Event.DeviceAccess ? this.deviceLane(args[0]!) : this.laneset(task).main;
  }

  private executorLane(executor: number): Lane {
    return this.kept(this.executors, executor, () => this.lane(this.names.get(NameKind.Executor, executor) ?? `CPU ${executor}`, this.groups.cpus, executor));
  }

  private deviceLane(device: number): Lane {
    return this.kept(this.devices, device, () => this.lane(this.names.get(NameKind.Device, device) ?? `device ${device}`, this.groups.devices, device));
  }

  private laneset(task: number): TaskLanes {
    return this.kept(this.tasks, task, () => ({
      main: this.lane(task === 0 ? "boot and interrupts" : `${this.taskName(task)} ${task}`, this.groups.tasks, task),
      waits: null,
      notifier: null,
      locks: new Map(),
      flows: [],
    }));
  }

  private waitLane(task: number): Lane {
    const set = this.laneset(task);
    return (set.waits ??= this.lane("waits for locks", set.main.uuid, 1));
  }

  private notifierLane(task: number): Lane {
    const set = this.laneset(task);
    return (set.notifier ??= this.lane("mmu_notifier", set.main.uuid, 0));
  }

  private kept<T>(all: Map<number, T>, id: number, make: () => T): T {
    let value = all.get(id);
    if (value === undefined) all.set(id, (value = make()));
    return value;
  }

  private taskName(task: number): string {
    return this.names.get(NameKind.Task, task) ?? "task";
  }

  private lane(name: string, parent: number, rank: number): Lane {
    const lane = { uuid: this.track(name, parent, rank), open: [] };
    this.lanes.push(lane);
    return lane;
  }

  private track(name: string, parent: number | null, rank: number, more: object = {}): number {
    const uuid = ++this.lastUuid;
    const place = parent === null ? {} : { parent_uuid: parent };
    this.packet({ track_descriptor: { uuid, name, ...place, child_ordering: 3, sibling_order_rank: rank, ...more } });
    return uuid;
  }

  /* Events on lanes. */

  private begin(lane: Lane, key: string, name: string, extras: Extras = {}): void {
    lane.open.push(key);
    this.trackEvent(lane, EventType.Begin, name, extras);
  }

  /** Ends the innermost slice of that key, and what has begun inside it; nothing when there is none. */
  private end(lane: Lane, key: string, extras: Extras = {}): void {
    const at = lane.open.lastIndexOf(key);
    if (at < 0) return;
    while (lane.open.length > at) {
      lane.open.pop();
      this.trackEvent(lane, EventType.End, null, lane.open.length === at ? extras : {});
    }
  }

  private instant(lane: Lane, name: string, extras: Extras): void {
    this.trackEvent(lane, EventType.Instant, name, extras);
  }

  private trackEvent(lane: Lane, type: EventType, name: string | null, { args = [], flow, endsFlow }: Extras): void {
    const names = new Interning(this.interned);
    const track_event = {
      type,
      track_uuid: lane.uuid,
      ...(name === null ? {} : { name_iid: names.of("event_names", name) }),
      ...(args.length === 0 ? {} : { debug_annotations: args.map(([arg, value]) => annotation(names.of("debug_annotation_names", arg), value)) }),
      ...(flow === undefined ? {} : { flow_ids: [flow] }),
      ...(endsFlow === undefined ? {} : { terminating_flow_ids: [endsFlow] }),
    };
    this.timed(track_event, names.fresh);
  }

  private timed(track_event: object, interned_data: object | null): void {
    this.packet({
      timestamp: this.time,
      timestamp_clock_id: CLOCK_BOOTTIME,
      sequence_flags: SequenceFlag.Needed,
      track_event,
      ...(interned_data === null ? {} : { interned_data }),
    });
  }

  private packet(fields: object): void {
    const message = this.packetType.encodeDelimited({ trusted_packet_sequence_id: SEQUENCE, ...fields }).finish();
    this.write(PACKET_TAG);
    this.write(message);
  }

  private annotations(event: Event, args: readonly number[]): Annotation[] {
    return EVENTS[event]!.args.map(([name, kind], i) => [name, this.valueOf(kind, args[i]!)]);
  }

  private valueOf(kind: ArgKind, value: number): number | string {
    switch (kind) {
      case "vpn":
        return `0x${(value * 4096).toString(16)}`;
      case "function":
        return this.names.get(NameKind.Function, value) ?? value;
      case "device":
        return this.names.get(NameKind.Device, value) ?? value;
      case "executor":
        return this.names.get(NameKind.Executor, value) ?? value;
      case "lockClass":
        return this.names.get(NameKind.LockClass, value) ?? value;
      case "pid":
        return value === 0 ? "nobody" : `${this.taskName(value)} ${value}`;
      case "int":
      case "raw":
      case "page":
      case "mm":
      case "ptep":
      case "lock":
      case "syscall":
        return value;
    }
  }
}

/** Field 1 of Trace, length-delimited. */
const PACKET_TAG = Uint8Array.of((1 << 3) | 2);

function annotation(name_iid: number, value: number | string): object {
  if (typeof value === "string") return { name_iid, string_value: value };
  return Number.isSafeInteger(value) ? { name_iid, int_value: value } : { name_iid, double_value: value };
}

type Table = "event_names" | "debug_annotation_names";

/** Numbers for strings; those that are new go with the packet. */
class Interning {
  fresh: Partial<Record<Table, { iid: number; name: string }[]>> | null = null;

  constructor(private readonly known: Map<string, number>) {}

  of(table: Table, name: string): number {
    const key = `${table} ${name}`;
    let iid = this.known.get(key);
    if (iid === undefined) {
      this.known.set(key, (iid = this.known.size + 1));
      this.fresh ??= {};
      (this.fresh[table] ??= []).push({ iid, name });
    }
    return iid;
  }
}
