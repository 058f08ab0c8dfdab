import { describe, expect, test } from "vitest";
import { KeyframeTaker, KeyframingWriter, readTrace, Trace, Tracer, TraceWriter, type Keyframe, type KeyframeSpacing } from "../src/index.js";
import { guest } from "./guest.js";
import { HEAD, Log } from "./recorded.js";

/** A run with keyframes in between; `seen` gets what the machine is after each event. */
function recorded(spacing: KeyframeSpacing, seen: (event: number, words: Uint32Array) => void = () => {}): { readonly trace: Trace; readonly pfn: number } {
  const linux = guest("hello");
  const parts: Uint8Array[] = [];
  const writer = new TraceWriter({ write: (bytes) => parts.push(bytes.slice()) }, HEAD);
  const keyframing = new KeyframingWriter(linux.m, writer, spacing);
  const tracer = new Tracer(linux.m, keyframing);
  linux.m.sink = {
    point: () => {},
    emit: (...event) => {
      tracer.emit(...event);
      seen(writer.events, linux.m.pt.words);
    },
  };
  linux.run();
  keyframing.end();
  writer.end("exited", linux.m.now());
  const trace = readTrace(Buffer.concat(parts));
  if (typeof trace === "string") throw new Error(trace);
  return { trace, pfn: linux.m.memmap.pageToPfn(0) };
}

/** A keyframe as a trace gives it back. */
function applied(bytes: Uint8Array): Keyframe {
  const parts: Uint8Array[] = [];
  const writer = new TraceWriter({ write: (part) => parts.push(part.slice()) }, HEAD);
  writer.keyframe(bytes, 0);
  writer.end("exited", 0);
  const keyframe = (readTrace(Buffer.concat(parts)) as Trace).keyframe(0);
  if (typeof keyframe === "string") throw new Error(keyframe);
  return keyframe;
}

describe("keyframes within a run", () => {
  test("lie further and further apart, and no further than wanted", () => {
    const { trace } = recorded({ first: 2, each: 3, last: 8 });
    const at = trace.keyframes.map(({ events }) => events);
    expect(at.slice(0, 10)).toEqual([0, 2, 4, 6, 10, 14, 18, 26, 34, 42]);
    expect(at.at(-1)).toBe(trace.events);
    for (const [i, events] of at.slice(10, -1).entries()) expect(events).toBe(50 + 8 * i);
  });

  test("have the machine right after their event", () => {
    const words = new Map<number, Uint32Array>();
    const { trace, pfn } = recorded({ first: 7, each: 1000, last: 7 }, (event, now) => {
      if (event % 7 === 0) words.set(event, now.slice());
    });
    expect(words.size).toBeGreaterThan(10);
    for (const [i, { events }] of trace.keyframes.slice(1, -1).entries()) {
      const { tables, memory } = trace.keyframe(i + 1) as Keyframe;
      expect(Buffer.compare(tables.get("pageTables")!, new Uint8Array(words.get(events)!.buffer)), `after event ${events}`).toBe(0);
      expect(memory.sections[0]).toMatchObject({ kind: "ram", page: 0, pfn });
    }
  });

  test("have physical memory: zones that add up, every page of them, and who holds what", () => {
    const linux = guest("hello");
    linux.runFor(200);
    const { m } = linux;
    const keyframe = applied(new KeyframeTaker(m).take());
    const { zones, blocks, batches, holds, memcgs, pagemaps } = keyframe.physical!;
    expect(zones.map(({ name }) => name)).toEqual(["DMA32"]);
    expect(zones[0]).toMatchObject({ node: 0, start: 0, end: m.memmap.ramPages, managed: m.zones.totalPages(), free: m.zones.freePages(), pcp: m.zones.pcpPages() });
    expect(zones[0]!.min).toBeLessThan(zones[0]!.low);
    expect(blocks.reduce((sum, { pages }) => sum + pages, 0)).toBe(m.memmap.ramPages);
    expect(blocks[0]).toMatchObject({ id: m.memmap.pageToPfn(0) >>> 15, state: "online", zone: "DMA32" });
    const batched = batches.reduce((sum, { folios }) => sum + folios.length, 0);
    expect(batched).toBeGreaterThan(0);
    for (const { folios } of batches) for (const folio of folios) expect(m.batches.references(folio)).toBeGreaterThan(0);
    // Who holds references is known while checking only.
    expect(holds).toBeNull();
    expect(memcgs[0]).toEqual({ id: 1, path: "/" });
    expect(pagemaps).toEqual([]);
    expect(keyframe.tables.get("pcp")!.byteLength).toBe(4 * m.zones.pcpPages());
  });

  test("of a version that wrote nothing of physical memory are read", () => {
    const bytes = Buffer.from(new KeyframeTaker(guest("hello").m).take());
    bytes.write('"physicax":', bytes.indexOf('"physical":'));
    expect(applied(bytes)).toMatchObject({ physical: null, time: 0 });
    const wrong = Buffer.from(new KeyframeTaker(guest("hello").m).take());
    wrong.write('"hugeZerp":', wrong.indexOf('"hugeZero":'));
    expect(() => applied(wrong)).toThrow("a keyframe that is none");
  });

  test("whose description is not one are refused", () => {
    const linux = guest("hello");
    for (const [from, to] of [
      ['"zeroPage":', '"zeroPagf":'],
      ['"kind":"ram"', '"kind":12345'],
    ] as const) {
      linux.runFor(1);
      const parts: Uint8Array[] = [];
      const writer = new TraceWriter({ write: (bytes) => parts.push(bytes.slice()) }, HEAD);
      const bytes = Buffer.from(new KeyframeTaker(linux.m).take());
      const at = bytes.indexOf(from);
      expect(at).toBeGreaterThan(0);
      bytes.write(to, at);
      writer.keyframe(bytes, 0);
      writer.end("exited", 0);
      expect((readTrace(Buffer.concat(parts)) as Trace).keyframe(0)).toBe("a keyframe that is none");
    }
  });
});

test("any part of a trace can be read", () => {
  const { trace } = recorded({ first: 1 << 18, each: 1, last: 1 << 18 });
  const whole = new Log();
  expect(trace.replay(whole)).toBeNull();
  for (const [from, to] of [
    [0, 1],
    [5, 50],
    [trace.events - 3, trace.events + 100],
    [trace.events, trace.events + 1],
    [7, 7],
  ] as const) {
    const part = new Log();
    expect(trace.replayRange(from, to, part)).toBeNull();
    expect(part.events).toEqual(whole.events.slice(from, to));
  }
});
