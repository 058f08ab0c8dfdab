import { expect, test } from "vitest";
import { OutputComparison } from "../src/diff_output.js";

function first(native: string, guest: string): ReturnType<OutputComparison["first"]> {
  return new OutputComparison({ native: 4711, guest: 4 }).first(native, guest);
}

test("what only depends on where and when a program ran is the same", () => {
  expect(first("at 0x7f0012340000\nagain 0x7f0012340000\n", "at 0x3f00123000\nagain 0x3f00123000\n")).toBeNull();
  expect(first("7f0012340000-7f0012341000 rw-p", "3f00123000-3f00124000  rw-p")).toBeNull();
  expect(first("pid 4711, child: 4720, 4711", "pid 4, child: 5, 4")).toBeNull();
  expect(first("took 17 ns\n0.03 seconds\nelapsed 12", "took 3 ns\n1.4 seconds\nelapsed 99")).toBeNull();
});

test("numbers are not", () => {
  expect(first("a\nb 1\n", "a\nb 2\n")).toEqual({ line: 2, native: "b 1", guest: "b 2", before: ["a"] });
  expect(first("flags 0x10", "flags 0x20")).not.toBeNull();
  expect(first("0x7f0012340000", "0")).not.toBeNull();
  expect(first("123456789 bytes", "123456780 bytes")).not.toBeNull();
  expect(first("errno 12", "errno 22")).not.toBeNull();
});

test("one address does not stand for two, nor one process", () => {
  expect(first("0x7f0012340000 0x7f0012340000", "0x3f00123000 0x3f00124000")).toMatchObject({ reason: expect.stringContaining("another address") as string });
  expect(first("0x7f0012340000 0x7f0012350000", "0x3f00123000 0x3f00123000")).toMatchObject({ reason: expect.stringContaining("another address") as string });
  expect(first("pid 10 pid 11", "pid 2 pid 2")).toMatchObject({ reason: expect.stringContaining("another process") as string });
});

test("an output that ends early", () => {
  expect(first("a\nb\n", "a\n")).toEqual({ line: 2, native: "b", guest: null, before: ["a"] });
  expect(first("a\n", "a\nb")).toEqual({ line: 2, native: null, guest: "b", before: ["a"] });
  expect(first("a\n", "a")).toMatchObject({ line: 2 });
  expect(first("", "")).toBeNull();
});
