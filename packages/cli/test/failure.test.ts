import { describe, expect, test } from "vitest";
import { parseOperatorLine, type OperatorLine } from "@faultline/riscv";
import { describeBug } from "../src/failure.js";
import { replayCommand } from "../src/run.js";
import { formatSize, parseSize, shellQuote } from "../src/values.js";

describe("a failure of the engine itself", () => {
  test("is told in a few lines, with the command that replays it", () => {
    const error = new TypeError("x is undefined\nand more");
    error.stack = "TypeError: x is undefined\n    at a (a.js:1:1)\n    at b (b.js:2:2)\n    at node:internal/x:1:1\n    at c (c.js:3:3)";
    const options = {
      release: "6.14",
      without: ["per-vma-locks"],
      patch: ["my patch.ts"],
      driver: [],
      memory: 2 ** 31,
      swap: 3 * 2 ** 20,
      cpus: 2,
      nodes: 2,
      seed: 7,
      mount: [],
      before: [],
      do: [parseOperatorLine("kill -TERM $PID") as OperatorLine],
      doTimeout: 60,
    };
    const replay = replayCommand(options, "./it's", ["-x", "a b"]);
    expect(describeBug(error, "after 1 s of machine time", replay)).toMatchInlineSnapshot(`
      "faultline: internal error: TypeError: x is undefined
          at a (a.js:1:1)
          at b (b.js:2:2)
          at c (c.js:3:3)
        after 1 s of machine time
      This is a bug in Faultline, not in the program. The command that replays it:
        faultline run --release 6.14 --without per-vma-locks --patch 'my patch.ts' --memory 2G --swap 3M --cpus 2 --nodes 2 --seed 7 --do 'kill -TERM $PID' --do-timeout 60 './it'\\''s' -x 'a b'
      "
    `);
  });
});

test("sizes", () => {
  expect(["2G", "512m", "64K", "8192", "0", "3MiB"].map(parseSize)).toEqual([2 ** 31, 2 ** 29, 2 ** 16, 8192, 0, 3 * 2 ** 20]);
  expect([2 ** 31, 3 * 2 ** 29, 4096, 12288, 0].map(formatSize)).toEqual(["2G", "1536M", "4K", "12K", "0"]);
  expect(["a/b-c", "$PID", "it's", ""].map(shellQuote)).toEqual(["a/b-c", "'$PID'", "'it'\\''s'", "''"]);
});
