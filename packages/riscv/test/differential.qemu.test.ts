import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { disassemble, INSTRUCTIONS, X_NAMES, F_NAMES } from "../src/index.js";
import { FlatMachine } from "./flat.js";
import { ARENA, FINAL_F, FINAL_FCSR, FINAL_X, generateProgram, NOT_RANDOM, type Program } from "./sequences.js";

const QEMU = "qemu-riscv64-static";
const hasQemu = spawnSync(QEMU, ["--version"]).status === 0;
if (!hasQemu) console.warn(`${QEMU} is not installed: the processor is not compared with it`);

/** Everything a static program writes to its standard output under qemu. */
function runInQemu(file: Uint8Array): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "faultline-qemu-"));
  try {
    const path = join(directory, "program");
    writeFileSync(path, file, { mode: 0o755 });
    const { status, signal, stdout } = spawnSync(QEMU, [path], { maxBuffer: 2 ** 28 });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    return stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function runInHart(program: Program): Uint8Array {
  const machine = new FlatMachine(Math.ceil(program.end / 4096) * 4096);
  machine.load(program.file);
  expect(machine.runProgram()).toBe("exited");
  return machine.output;
}

/** What differs in one arena, in words. */
function differences(program: Program, index: number, want: Uint8Array, have: Uint8Array): string[] {
  const sequence = program.sequences[index];
  const lines: string[] = [];
  let pc = sequence?.bodyAddress ?? 0;
  for (const bits of sequence?.body ?? []) {
    lines.push(`${pc.toString(16)}: ${disassemble(bits, pc)}`);
    pc += (bits & 3) === 3 ? 4 : 2;
  }
  const at = (bytes: Uint8Array, offset: number): string =>
    new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(index * ARENA + offset, true).toString(16).padStart(16, "0");
  for (let offset = 0; offset < ARENA; offset += 8) {
    if (at(want, offset) === at(have, offset)) continue;
    const from = offset - 2048;
    const name =
      from >= FINAL_FCSR ? "fcsr" : from >= FINAL_F ? F_NAMES[(from - FINAL_F) / 8]
      : from >= FINAL_X ? X_NAMES[(from - FINAL_X) / 8] : `memory ${String(from)}`;
    const before = from >= FINAL_X ? `, was ${at(want, offset - 3072)}` : "";
    lines.push(`${String(name)}: qemu ${at(want, offset)}, hart ${at(have, offset)}${before}`);
  }
  return lines;
}

/** FAULTLINE_SEED and FAULTLINE_SEQUENCES ask for other programs than the usual. */
const seeds = process.env["FAULTLINE_SEED"] ? [Number(process.env["FAULTLINE_SEED"])] : [1, 2, 3];
const count = Number(process.env["FAULTLINE_SEQUENCES"] ?? 1000);

describe.skipIf(!hasQemu)("the hart and qemu-riscv64", () => {
  it.each(seeds)("agree on every register and all memory (seed %i)", (seed) => {
    const program = generateProgram(seed, count);
    const uncovered = INSTRUCTIONS.filter(({ name }) => !NOT_RANDOM.has(name) && (program.coverage.get(name) ?? 0) < 3);
    expect(uncovered.map(({ name }) => name)).toEqual([]);

    const want = runInQemu(program.file);
    const have = runInHart(program);
    expect(have.length).toBe(count * ARENA);
    expect(want.length).toBe(have.length);
    for (let index = 0; index < count; index++) {
      const slice = (bytes: Uint8Array): Uint8Array => bytes.subarray(index * ARENA, (index + 1) * ARENA);
      if (Buffer.compare(slice(want), slice(have)) !== 0) {
        expect.fail(`sequence ${String(index)} of seed ${String(seed)}\n${differences(program, index, want, have).join("\n")}`);
      }
    }
  });
});
