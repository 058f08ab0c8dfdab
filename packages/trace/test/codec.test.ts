import { Event } from "@faultline/kernel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ARGS_MAX, DamageError, decodeBlock, EventEncoder, EVENTS, HashingSink, NameKind, Tracer, type TraceConsumer } from "../src/index.js";
import type { LinuxMachine } from "@faultline/riscv";
import { guest } from "./guest.js";

/** Writes down what it gets. */
class Log implements TraceConsumer {
  readonly lines: unknown[][] = [];

  name(...line: unknown[]): void {
    this.lines.push(["name", ...line]);
  }

  event(...line: unknown[]): void {
    this.lines.push(line);
  }
}

function encode(run: (encoder: EventEncoder) => void): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  const encoder = new EventEncoder(({ bytes }) => blocks.push(bytes.slice()));
  run(encoder);
  encoder.flush();
  return blocks;
}

describe("the table of events", () => {
  test("has every event once, at its number", () => {
    const numbers = Object.values(Event).filter((value) => typeof value === "number");
    expect(EVENTS.map((info) => info.event)).toEqual(numbers);
    expect(new Set(EVENTS.map((info) => info.name)).size).toBe(EVENTS.length);
    for (const { args } of EVENTS) expect(args.length).toBeLessThanOrEqual(ARGS_MAX);
  });
});

describe("blocks of events", () => {
  const whole = fc.integer({ min: -(2 ** 47), max: 2 ** 47 });
  const anEvent = fc.record({
    event: fc.integer({ min: 0, max: EVENTS.length - 1 }),
    time: fc.nat(1e9),
    executor: fc.nat(3),
    task: fc.nat(70000),
    args: fc.array(fc.oneof(whole, fc.integer()), { minLength: ARGS_MAX, maxLength: ARGS_MAX }),
  });

  test("give back what went in", () => {
    fc.assert(
      fc.property(fc.array(anEvent), (events) => {
        const want = new Log();
        const got = new Log();
        const blocks = encode((encoder) => {
          let time = 0;
          encoder.name(NameKind.Task, 7, "hällo");
          want.name(NameKind.Task, 7, "hällo");
          for (const { event, executor, task, args, ...rest } of events) {
            time += rest.time;
            const used = args.map((arg, i) => (i < EVENTS[event]!.args.length ? arg : 0)) as [number, number, number, number, number, number, number];
            encoder.event(time, executor, task, event, ...used);
            want.event(time, executor, task, event, ...used);
          }
        });
        for (const block of blocks) decodeBlock(block, got);
        expect(got.lines).toEqual(want.lines);
      }),
    );
  });

  test("of a whole run give back what the machine said, each by itself", () => {
    const linux = guest("counter", ["2", "500", "device"]);
    const log = new Log();
    const blocks: Uint8Array[] = [];
    const encoder = new EventEncoder(({ bytes }) => blocks.push(bytes.slice()));
    const tracer = new Tracer(linux.m, {
      name: (...line) => {
        log.name(...line);
        encoder.name(...line);
      },
      event: (...line) => {
        log.event(...line);
        encoder.event(...line);
      },
    });
    linux.m.sink = tracer;
    linux.run();
    encoder.flush();
    const got = new Log();
    for (const block of blocks) decodeBlock(block, got);
    expect(blocks.length).toBeGreaterThan(1);
    expect(got.lines).toEqual(log.lines);
    const last = new Log();
    decodeBlock(blocks.at(-1)!, last);
    expect(got.lines.slice(-last.lines.length)).toEqual(last.lines);
  });

  test("refuse bytes that no encoder wrote", () => {
    const refused = (bytes: number[]): unknown => expect(() => decodeBlock(Uint8Array.from(bytes), new Log())).toThrow(DamageError);
    refused([126]);
    refused([0x80, 0]);
    refused([0, 1, 1]);
    refused([0, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    refused([127, 99, 0, 0]);
    refused([127, 0, 0, 5, 65]);
  });
});

describe("the hash of a run", () => {
  function hashOf(linux: LinuxMachine): string {
    const sink = new HashingSink(linux.m);
    linux.m.sink = sink;
    linux.run();
    expect(sink.events).toBeGreaterThan(100);
    return sink.hash();
  }

  const hello = (seed: number, ftrace = false): LinuxMachine => guest("hello", [], { seed, ftrace });

  test("is the same for the same seed, and another for another", () => {
    expect(hashOf(hello(1))).toBe(hashOf(hello(1)));
    expect(hashOf(hello(1))).not.toBe(hashOf(hello(2)));
  });

  test("does not depend on whether functions are traced", () => {
    expect(hashOf(hello(1, true))).toBe(hashOf(hello(1)));
  });

  test.each([
    ["counter", ["2", "200", "device"]],
    ["compaction", []],
    ["device-memory", []],
  ])("does not depend on whether who runs alone goes back to the scheduler for each turn: %s", (program, args) => {
    const returning = guest(program, args, { cpus: 2 });
    const { strategy } = returning.m.sched;
    returning.m.sched.strategy = {
      quantum: (executor) => strategy.quantum(executor),
      preempt: () => true,
      pick: (eligible, previous) => strategy.pick(eligible, previous),
    };
    expect(hashOf(returning)).toBe(hashOf(guest(program, args, { cpus: 2 })));
    expect(returning.m.sched.turns).toBeGreaterThan(100);
  });
});
