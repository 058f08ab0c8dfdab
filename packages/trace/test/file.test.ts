import { describe, expect, test } from "vitest";
import { Event } from "@faultline/kernel";
import { EVENTS, readTrace, sha256Digest, Trace, type Keyframe } from "../src/index.js";
import { readHeader, writeHeader, BlockType, HEADER_BYTES, MAGIC } from "../src/file.js";
import { encodeHead } from "../src/head.js";
import { guest } from "./guest.js";
import { HEAD, Log, record } from "./recorded.js";

function open(bytes: Uint8Array): Trace {
  const trace = readTrace(bytes);
  if (typeof trace === "string") throw new Error(trace);
  return trace;
}

/** Where each block begins, and where the last one ends. */
function boundaries(bytes: Uint8Array): number[] {
  const all = [MAGIC.length];
  while (all.at(-1)! < bytes.length) all.push(all.at(-1)! + HEADER_BYTES + readHeader(bytes, all.at(-1)!)!.stored);
  return all;
}

/** A file of blocks that are as they should be, whatever is in them. */
function fileOf(...blocks: readonly [BlockType, string | Uint8Array][]): Uint8Array {
  const parts = blocks.flatMap(([type, content]) => {
    const payload = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const header = { type, deflated: false, stored: payload.length, raw: payload.length, events: 0, from: 0, to: 0 };
    return [writeHeader(header, payload), payload];
  });
  return Buffer.concat([MAGIC, ...parts]);
}

describe("a file", () => {
  const linux = guest("counter", ["2", "200", "device"]);
  const states: Map<string, Uint8Array>[] = [];
  const { bytes, log, hash } = record(linux, 150, () => {
    const { memmap, pt, swap } = linux.m;
    const copy = (table: Int32Array | Uint32Array | Uint16Array | Uint8Array): Uint8Array =>
      new Uint8Array(table.buffer.slice(table.byteOffset, table.byteOffset + table.byteLength) as ArrayBuffer);
    states.push(
      new Map([
        ["memmap.refcount", copy(memmap.refcount.subarray(0, memmap.ramPages))],
        ["memmap.mapcount", copy(memmap.mapcount.subarray(0, memmap.ramPages))],
        ["memmap.flags", copy(memmap.flags.subarray(0, memmap.ramPages))],
        ["memmap.memcg", copy(memmap.memcg.subarray(0, memmap.ramPages))],
        ["memmap.order", copy(memmap.order.subarray(0, memmap.ramPages))],
        ["pageTables", copy(pt.words)],
        ["swap.count", copy(swap.count)],
      ]),
    );
  });
  const trace = open(bytes);

  test("gives back the run, and its hash is the run's", () => {
    const got = new Log();
    expect(trace.replay(got)).toBeNull();
    expect(got.lines.map(String).join("\n") === log.lines.map(String).join("\n")).toBe(true);
    expect(trace.hash()).toEqual({ hash });
    expect(trace.end).toEqual({ end: "exited", events: log.events.length, keyframes: states.length, duration: linux.m.now(), hash });
    expect(trace.events).toBe(log.events.length);
    expect(trace.head).toMatchObject(HEAD);
  });

  test("has the state of the machine at each keyframe", () => {
    expect(states.length).toBeGreaterThan(17);
    expect(trace.keyframes.length).toBe(states.length);
    for (const [i, expected] of states.entries()) {
      const keyframe = trace.keyframe(i) as Keyframe;
      for (const [name, table] of expected) expect(Buffer.compare(keyframe.tables.get(name)!.subarray(0, table.length), table), `${name} at ${i}`).toBe(0);
    }
    expect(trace.keyframe(states.length)).toMatch(/^there is no keyframe/);
  });

  test("tells of address spaces, tasks and devices", () => {
    const middle = trace.keyframe(12) as Keyframe;
    expect(middle.tasks.map((task) => task.comm)).toContain("counter");
    expect(middle.mms.length).toBe(1);
    expect(middle.mms[0]!.vmas.map((vma) => vma.name)).toContain("[stack]");
    const device = [...middle.tables.keys()].find((name) => name.startsWith("device."));
    expect(device).toMatch(/^device\.\d\.mm\.1\./);
  });

  test("of a run that was killed is read up to its last complete block", () => {
    const ends = boundaries(bytes);
    const whole = log.events.map(String);
    // At the end of a block, within a header, within a payload.
    const some = ends.slice(1, -1).filter((_, i, all) => i % Math.ceil(all.length / 5) === 0);
    const cuts = some.flatMap((end) => [end, end + 7, end + HEADER_BYTES + 1]);
    for (const cut of cuts) {
      const part = open(bytes.subarray(0, cut));
      expect(part.end).toBeNull();
      const got = new Log();
      expect(part.replay(got)).toBeNull();
      expect(got.events.map(String).join("\n") === whole.slice(0, got.events.length).join("\n")).toBe(true);
      expect(part.events).toBe(got.events.length);
    }
    const last = open(bytes.subarray(0, ends.at(-2)));
    expect(last.events).toBe(whole.length);
  });

  test("that is none is refused in a few words", () => {
    const ends = boundaries(bytes);
    expect(readTrace(new Uint8Array())).toBe("it is empty");
    expect(readTrace(new TextEncoder().encode("# tracer: nop\n"))).toBe("it is no trace of Faultline");
    expect(readTrace(bytes.subarray(0, 5))).toBe("it ends before it says what ran");
    expect(readTrace(bytes.subarray(0, 100))).toBe("it ends before it says what ran");
    expect(readTrace(Buffer.concat([bytes, Buffer.from("x")]))).toMatch(/^it goes on after its end/);
    expect(readTrace(Buffer.concat([bytes, bytes]))).toMatch(/^it goes on after its end/);
    expect(readTrace(Buffer.concat([bytes.subarray(0, ends[3]), bytes.subarray(ends[0], ends[1])]))).toMatch(/a block in the wrong place$/);
    const flipped = Buffer.from(bytes);
    flipped[ends[2]! + HEADER_BYTES + 20]! ^= 4;
    expect(readTrace(flipped)).toBe(`it is damaged between bytes ${ends[2]} and ${ends[3]}`);
  });

  test("of another version is read where its events are known, and refused where not", () => {
    const json = JSON.parse(encodeHead(HEAD)) as { events: string[][] };
    const altered = (change: (events: string[][]) => string[][]): string => JSON.stringify({ ...json, events: change(json.events) });
    const free = EVENTS[Event.MmPageFree]!;
    const reversed = fileOf(
      [BlockType.Head, altered((events) => events.toReversed())],
      // Place 0, task 7, at 5 ns: mm_page_free of page 9, order 1, by its number in that table.
      [BlockType.Events, Uint8Array.of(EVENTS.length - 1 - Event.MmPageFree, 0, 7, 10, 18, 2)],
    );
    const got = new Log();
    expect(open(reversed).replay(got)).toBeNull();
    expect(got.lines).toEqual([[5, 0, 7, Event.MmPageFree, 9, 1, 0, 0, 0, 0, 0]]);
    expect(readTrace(fileOf([BlockType.Head, altered((events) => [...events, ["mm_new_thing", "page:page"]])]))).toMatch(
      /^its event mm_new_thing is unknown here, or has other arguments/,
    );
    const renamed = altered((events) => events.map((e) => (e[0] === free.name ? [e[0], "page:int", "order:int"] : e)));
    expect(readTrace(fileOf([BlockType.Head, renamed]))).toMatch(/^its event mm_page_free is unknown/);
    const unnamed = fileOf([BlockType.Head, JSON.stringify({ ...json, drivers: undefined })]);
    expect(open(unnamed).head.drivers).toEqual([]);
    expect(readTrace(fileOf([BlockType.Head, JSON.stringify({ ...json, format: 2 })]))).toMatch(/^it is of format 2/);
    expect(readTrace(fileOf([BlockType.Head, "{}"]))).toMatch(/^it is of format undefined/);
    expect(readTrace(fileOf([BlockType.Head, "null"]))).toBe("its head is damaged");
  });

  test("a rule that was broken: read as it was written, and refused where it is damaged", () => {
    const finding = { kind: "k", rule: "r", message: "m", event: 0, page: { mm: 1, vpn: 2 }, diagram: [{ text: "t", event: 0 }, { text: "", event: null }], output: ["o"] };
    const ending = (changed: object): string => JSON.stringify({ end: "exited", events: 1, keyframes: 0, duration: 0, hash: "", finding: { ...finding, ...changed } });
    const read = (changed: object): Trace | string => readTrace(fileOf([BlockType.Head, encodeHead({ ...HEAD })], [BlockType.End, ending(changed)]));
    expect((read({}) as Trace).end!.finding).toEqual(finding);
    for (const changed of [{ kind: 1 }, { event: 1 }, { event: -1 }, { event: 0.5 }, { page: 3 }, { page: { mm: "1", vpn: 2 } }, { diagram: {} }, { diagram: [{ text: "t", event: 7 }] }, { diagram: [null] }, { output: [1] }]) {
      expect([changed, read(changed)]).toEqual([changed, "its end is damaged"]);
    }
  });
});

/* Damage. */

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const DAMAGED = 100_000;

test(`${DAMAGED} damaged files: a short reason, or a part that can be read`, () => {
  const { bytes } = record(guest("hello", [], { memoryBytes: 2 ** 22, swapBytes: 0 }), 100);
  const ends = boundaries(bytes);
  const random = generator(20260521);
  const kinds = { refused: 0, partial: 0, whole: 0, unreadable: 0 };
  for (let i = 0; i < DAMAGED; i++) {
    const damaged = damage(bytes, ends, random);
    const trace = readTrace(damaged);
    if (typeof trace === "string") {
      if (!/^it[^\n]{1,150}$/.test(trace) && !/^(a|the) [^\n]{1,150}$/.test(trace)) throw new Error(`file ${i}: ${trace}`);
      kinds.refused++;
      continue;
    }
    const wrong = [trace.replay({ name: () => {}, event: () => {} }), ...trace.keyframes.map((_, at) => trace.keyframe(at))].filter(
      (result) => typeof result === "string",
    );
    if (wrong.length > 0) kinds.unreadable++;
    else if (trace.end === null) kinds.partial++;
    else kinds.whole++;
  }
  // Each way out was taken.
  expect(Math.min(...Object.values(kinds))).toBeGreaterThan(100);
});

/** Flips bits, cuts, moves parts about; and in one case of three makes the checks right again. */
function damage(bytes: Uint8Array, ends: readonly number[], random: (below: number) => number): Uint8Array {
  const way = random(6);
  if (way === 0) return bytes.subarray(0, random(bytes.length));
  if (way === 1) {
    const [from, to] = [random(bytes.length), random(bytes.length)];
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  }
  if (way === 2) {
    // Whole blocks, in any order.
    const blocks = ends.slice(0, -1).map((end, i) => bytes.subarray(end, ends[i + 1]));
    return Buffer.concat([MAGIC, ...Array.from({ length: random(blocks.length + 2) }, () => blocks[random(blocks.length)]!)]);
  }
  const flipped = Buffer.from(bytes);
  if (way === 3) {
    for (let n = 1 + random(8); n > 0; n--) flipped[random(flipped.length)]! ^= 1 << random(8);
    return flipped;
  }
  const block = random(ends.length - 1);
  const header = readHeader(flipped, ends[block]!)!;
  const payload = flipped.subarray(ends[block]! + HEADER_BYTES, ends[block + 1]);
  for (let n = 1 + random(4); n > 0; n--) payload[random(payload.length)]! ^= 1 << random(8);
  flipped.set(writeHeader(way === 5 ? { ...header, events: random(5), raw: header.deflated ? random(9999) : header.raw } : header, payload), ends[block]);
  return flipped;
}

test("digests of the platform and of the package are the same", () => {
  const digest = sha256Digest();
  digest.update(Uint8Array.of(1, 2));
  digest.update(Uint8Array.of(3));
  expect(digest.hex()).toBe("039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81");
});
