import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { Event } from "@faultline/kernel";
import { NameKind, PERFETTO_PROTO, PerfettoTrace, Tracer } from "../src/index.js";
import { guest } from "./guest.js";

/* The file is read as Perfetto's documentation says (docs/reference/synthetic-track-event). */

interface Packet {
  readonly timestamp?: number;
  readonly trusted_packet_sequence_id?: number;
  readonly sequence_flags?: number;
  readonly track_descriptor?: { readonly uuid: number; readonly name: string; readonly parent_uuid?: number };
  readonly track_event?: {
    readonly type: string;
    readonly track_uuid: number;
    readonly name_iid?: number;
    readonly counter_value?: number;
    readonly flow_ids?: readonly string[];
    readonly terminating_flow_ids?: readonly string[];
    readonly debug_annotations?: readonly { readonly name_iid: number; readonly int_value?: number; readonly string_value?: string }[];
  };
  readonly interned_data?: Readonly<Record<string, readonly { readonly iid: number; readonly name: string }[]>>;
}

/** The packets of a run. */
function packetsOf(name: string, args: readonly string[], functions: boolean): Packet[] {
  const linux = guest(name, args, { ftrace: functions });
  return packetsFrom(functions, (perfetto) => {
    const tracer = new Tracer(linux.m, perfetto);
    linux.m.sink = tracer;
    if (functions) {
      linux.m.ftrace!.emitting = true;
      linux.m.locks.observer = tracer;
    }
    linux.run();
  });
}

function packetsFrom(functions: boolean, run: (perfetto: PerfettoTrace) => void): Packet[] {
  const parts: Uint8Array[] = [];
  const perfetto = new PerfettoTrace((bytes) => parts.push(bytes.slice()), functions);
  run(perfetto);
  perfetto.finish();
  const type = protobuf.parse(PERFETTO_PROTO, { keepCase: true }).root.lookupType("perfetto.protos.Trace");
  const trace = type.toObject(type.decode(Buffer.concat(parts)), { longs: Number, enums: String }) as { packet: Packet[] };
  return trace.packet;
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

interface Slice {
  readonly name: string;
  readonly depth: number;
  readonly parent: string | null;
  readonly from: number;
  readonly to: number;
  readonly track: string;
}

interface Flow {
  readonly from: string;
  readonly to: string;
}

/** What a viewer would make of it; fails on what no viewer could read. */
function view(packets: readonly Packet[]): { tracks: Map<string, string | null>; slices: Slice[]; instants: Set<string>; flows: Flow[]; counters: Map<string, number> } {
  const names = new Map<string, string>();
  const tracks = new Map<number, { name: string; parent: number | undefined }>();
  const open = new Map<number, { name: string; from: number; parent: string | null }[]>();
  const flowsOpen = new Map<string, string>();
  const slices: Slice[] = [];
  const instants = new Set<string>();
  const flows: Flow[] = [];
  const counters = new Map<string, number>();
  let time = 0;
  expect(packets[0]!.sequence_flags).toBe(1);
  for (const packet of packets) {
    must(packet.trusted_packet_sequence_id === 1, "a packet of the sequence");
    for (const [table, entries] of Object.entries(packet.interned_data ?? {})) {
      for (const { iid, name } of entries) {
        must(!names.has(`${table} ${iid}`), "a number for one name");
        names.set(`${table} ${iid}`, name);
      }
    }
    const { track_descriptor: track, track_event: event } = packet;
    if (track !== undefined) {
      must(!tracks.has(track.uuid), "a track once");
      must(track.parent_uuid === undefined || tracks.has(track.parent_uuid), "parents first");
      tracks.set(track.uuid, { name: track.name, parent: track.parent_uuid });
    }
    if (event === undefined) continue;
    if (event.type === "TYPE_COUNTER") {
      counters.set(tracks.get(event.track_uuid)!.name, event.counter_value!);
      continue;
    }
    must(packet.sequence_flags === 2, "events need the names");
    must(packet.timestamp! >= time, "in order of time");
    time = packet.timestamp!;
    const on = tracks.get(event.track_uuid)!;
    must(on !== undefined, "a track that was described");
    const where = `${tracks.get(on.parent!)?.name ?? ""} / ${on.name}`;
    const name = event.name_iid === undefined ? null : names.get(`event_names ${event.name_iid}`)!;
    for (const { name_iid } of event.debug_annotations ?? []) must(names.has(`debug_annotation_names ${name_iid}`), "annotations with names");
    const stack = open.get(event.track_uuid) ?? [];
    open.set(event.track_uuid, stack);
    if (event.type === "TYPE_SLICE_END") {
      const slice = stack.pop();
      must(slice !== undefined, "an end has a beginning");
      slices.push({ ...slice!, depth: stack.length, to: time, track: where });
      continue;
    }
    must(typeof name === "string", "events with names");
    for (const flow of event.flow_ids ?? []) flowsOpen.set(flow, `${where}: ${name}`);
    for (const flow of event.terminating_flow_ids ?? []) {
      must(flowsOpen.has(flow), "a flow that began");
      flows.push({ from: flowsOpen.get(flow)!, to: `${where}: ${name}` });
      flowsOpen.delete(flow);
    }
    if (event.type === "TYPE_SLICE_BEGIN") stack.push({ name: name!, from: time, parent: stack.at(-1)?.name ?? null });
    else instants.add(name!);
  }
  for (const stack of open.values()) expect(stack).toEqual([]);
  return { tracks: new Map([...tracks.values()].map(({ name, parent }) => [name, tracks.get(parent!)?.name ?? null])), slices, instants, flows, counters };
}

describe("a Perfetto trace of threads and a device", () => {
  const { tracks, slices, instants, flows, counters } = view(packetsOf("counter", ["2", "100", "device"], true));
  const named = (name: string): Slice[] => slices.filter((slice) => slice.name === name);

  test("has lanes for CPUs, the disk, tasks, kernel threads and devices", () => {
    expect([...tracks]).toEqual(
      expect.arrayContaining([
        ["CPU 0", "CPUs and devices' engines"],
        ["CPU 1", "CPUs and devices' engines"],
        ["swap disk", "CPUs and devices' engines"],
        ["kswapd0 4", "Tasks"],
        [expect.stringMatching(/^counter \d+$/), "Tasks"],
        [expect.stringMatching(/^hmm_dmirror\d$/), "Devices"],
      ]),
    );
  });

  test("shows who runs on a CPU, one at a time", () => {
    const cpu = slices.filter(({ track }) => track.endsWith("/ CPU 0"));
    expect(new Set(cpu.map(({ name }) => name))).toContain("counter");
    expect(cpu.every(({ depth }) => depth === 0)).toBe(true);
  });

  test("nests kernel functions in each other and in system calls", () => {
    expect(named("do_anonymous_page").every(({ parent }) => parent === "do_pte_missing")).toBe(true);
    expect(named("dmirror_ioctl").map(({ parent }) => parent)).toContain("ioctl");
    expect(slices.some(({ depth }) => depth > 6)).toBe(true);
    expect(slices.every(({ from, to }) => to >= from)).toBe(true);
  });

  test("shows locks that are held", () => {
    const held = (name: string): Slice[] => named(name).filter(({ track }) => track.endsWith(`/ holds ${name}`));
    for (const name of ["mmap_lock", "ptl", "folio_lock"]) expect(held(name).length, name).toBeGreaterThan(5);
  });

  test("leads from each invalidation to the device that it reaches", () => {
    expect(flows.length).toBeGreaterThan(50);
    for (const { from, to } of flows) {
      expect(from).toMatch(/\/ mmu_notifier: mmu_notifier_invalidate_range$/);
      expect(to).toMatch(/^Devices \/ hmm_dmirror\d: device_invalidate$/);
    }
    expect(named("mmu_notifier_invalidate_range").length).toBeGreaterThanOrEqual(flows.length);
  });

  test("counts the memory of an address space, which is gone in the end", () => {
    expect(counters.get("mm 1: MM_ANONPAGES")).toBe(0);
  });

  test("has what happens at one moment as well", () => {
    for (const name of ["set_pte", "mm_page_alloc", "device_access", "page_fault_user", "sched_process_exit"]) expect(instants).toContain(name);
  });
});

test("without functions there are system calls, and locks with tracepoints of their own", () => {
  const { slices } = view(packetsOf("counter", ["2", "100", "device"], false));
  const names = new Set(slices.map(({ name }) => name));
  for (const name of ["ioctl", "mmap", "mmap_lock", "folio_lock", "counter"]) expect(names).toContain(name);
  expect(names).not.toContain("do_anonymous_page");
});

/** Events of task 7 on CPU 0, a nanosecond each. */
function events(...all: readonly [Event, number?, number?, number?, number?][]): Packet[] {
  return packetsFrom(true, (perfetto) => {
    perfetto.name(NameKind.Task, 7, "seven");
    perfetto.name(NameKind.LockClass, 0, "ptl");
    perfetto.name(NameKind.Device, 0, "hmm_dmirror0");
    perfetto.name(NameKind.Device, 1, "hmm_dmirror1");
    all.forEach(([event, a = 0, b = 0, c = 0, d = 0], time) => {
      perfetto.event(time, 0, 7, event, a, b, c, d, 0, 0, 0);
    });
  });
}

test("waits for locks last from contention_begin to contention_end", () => {
  const { slices } = view(events([Event.ContentionBegin, 5, 1, 0], [Event.SetPte], [Event.ContentionEnd, 5, 0, 0]));
  expect(slices).toEqual([{ name: "waits for ptl", depth: 0, parent: null, from: 0, to: 2, track: "seven 7 / waits for locks" }]);
});

test("locks that are not released in the order in which they were taken have lanes of their own", () => {
  const { slices } = view(
    events([Event.LockAcquired, 1, 0, 7], [Event.LockAcquired, 2, 0, 7], [Event.LockRelease, 1, 0], [Event.LockRelease, 2, 0]),
  );
  expect(slices.map(({ from, to, depth }) => [from, to, depth])).toEqual([
    [0, 2, 0],
    [1, 3, 0],
  ]);
});

test("an invalidation that reaches two devices leads to both", () => {
  const { flows } = view(
    events([Event.InvalidateStart, 1, 0, 1, 1], [Event.DeviceInvalidate, 0, 0, 1, 1], [Event.DeviceInvalidate, 1, 0, 1, 1], [Event.InvalidateEnd, 1, 0, 1, 1]),
  );
  expect(flows).toEqual([
    { from: "seven 7 / mmu_notifier: mmu_notifier_invalidate_range", to: "Devices / hmm_dmirror0: device_invalidate" },
    { from: "seven 7 / mmu_notifier: calls the next device", to: "Devices / hmm_dmirror1: device_invalidate" },
  ]);
});

test("what has not ended ends with the file, and an end without a beginning is nothing", () => {
  const { slices } = view(events([Event.SysExit, 1, 0], [Event.SysEnter, 94], [Event.LockRelease, 3, 0], [Event.SetPte]));
  expect(slices).toMatchObject([{ name: "syscall 94", from: 1, to: 3 }]);
});
