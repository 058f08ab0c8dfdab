import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Madv, PATCHES, type Atomic, type Kernel, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import dontneedReclaim from "../../../scenarios/dontneed-reclaim.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import gupFastMunmap from "../../../scenarios/gup-fast-munmap.js";
import migrateExclusive from "../../../scenarios/migrate-exclusive.js";
import mirrorDontneed from "../../../scenarios/mirror-dontneed.js";
import mprotectReclaimStore from "../../../scenarios/mprotect-reclaim-store.js";
import { callsOf, emitC, explore, scenario, type EmittedProgram, type Scenario } from "../src/index.js";

const GCC = "gcc";
const hasGcc = process.platform === "linux" && spawnSync(GCC, ["--version"]).status === 0;
if (!hasGcc) console.warn(`${GCC} for Linux is not installed: emitted programs are not compiled and run`);

function* nothing(): Atomic<void> {
  yield* [];
}

const NO_FLUSH: OverlayFactory = () => ({ tlbflush: { flushTlbRange: nothing } });
const NO_PENDING: OverlayFactory = () => ({ tlbBatch: { isFlushPending: (_k: Kernel) => false } });
const TABLES_AT_ONCE: OverlayFactory = () => ({
  mmGather: {
    *tlbTableFlush(k, tables): Atomic<void> {
      yield* k.mmGather.freeTables(k, tables);
    },
  },
});

const undone = (name: string): OverlayFactory => PATCHES.find((patch) => patch.name === name)!.undo!;

/** The program for the first violation that a kernel has. */
function emitted<S>(s: Scenario<S>, overlay: OverlayFactory, without: readonly string[] = []): EmittedProgram {
  const plain = s as Scenario;
  const { violation } = explore(plain, { overlays: [overlay], executionsMax: 1000 });
  return emitC(plain, violation!, callsOf(plain), { release: "7.3", without, patches: [], command: "faultline check mine.ts" });
}

/** The definition of a function of C. */
function definitionOf(name: string, { text }: EmittedProgram): string {
  const from = text.indexOf(`static void ${name}(void)`);
  return text.slice(from, text.indexOf("\n}\n", from) + 2);
}

test("a violation as a program", () => {
  const { text, omitted } = emitted(faultExclusiveDontneed, undone("exclusive-fault-ref"), ["exclusive-fault-ref"]);
  expect(omitted).toEqual([]);
  expect(text).toMatchSnapshot();
});

describe("a call of a scenario", () => {
  test("that had not begun when the rule was broken comes last", () => {
    const { text } = emitted(mirrorDontneed, NO_FLUSH);
    expect(text).toMatch(/\* mirror, on device 0; it had done nothing yet when the rule was broken\. \*\/\n.*\n\{\n\tafter_end_of\(T_DONTNEED, 1\);/);
  });

  test("that loads a word has all values that some order of the calls gives, and no others", () => {
    const mine = scenario({
      title: "loads",
      machine: { cpus: 2, devices: 0 },
      *setup(t) {
        const page = yield* t.mmap(2);
        yield* t.store32(page, 5);
        return { page };
      },
      threads: {
        writer: {
          on: { cpu: 0 },
          *run(t, s) {
            yield* t.atomicAdd32(s.page, 1);
            yield* t.madvise(s.page, 1, Madv.DONTNEED);
            yield* t.store32(s.page + 4096, 3);
          },
        },
        reader: {
          on: { cpu: 1 },
          *run(t, s) {
            yield* t.load32(s.page);
            yield* t.load32(s.page + 4096);
          },
        },
      },
    });
    const program = emitted(mine, NO_FLUSH);
    expect(definitionOf("run_reader", program)).toContain('one_of("reader: t.load32(MAP0)", load(MAP0), 3, (const uint32_t[]){ 0, 5, 6 });');
    expect(definitionOf("run_reader", program)).toContain("load(MAP0 + 0x1000), 2, (const uint32_t[]){ 0, 3 });");
    expect(program.text).toMatch(/\{ "the word at MAP0", 0x\w+, 1, \{ 0 \} \},\n\t\{ "the word at MAP0 \+ 0x1000", 0x\w+, 1, \{ 3 \} \},\n/);
  });

  test("through the kernel itself is left out, and that is said", () => {
    const program = emitted(mprotectReclaimStore, NO_PENDING);
    const what = "what is done here through the kernel itself (t.k) has no system call, and is left out";
    expect(program.omitted).toEqual([`thread 'protect': ${what}`]);
    expect(definitionOf("run_protect", program).replaceAll(/\s+\*?\s*/g, " ")).toContain(what.slice(1));
  });

  test("on a frame is one on the page that was in it", () => {
    const program = emitted(migrateExclusive, undone("exclusive-mapcount"));
    expect(definitionOf("setup", program)).toContain("frame0 = frame_of(MAP0);");
    expect(definitionOf("run_offline", program)).toContain("migrate(MAP0, frame0);");
  });
});

describe.skipIf(!hasGcc)("an emitted program", () => {
  /** Compiles without a warning, and runs a few rounds. */
  function run({ text }: EmittedProgram, rounds = 5): { status: number | null; stdout: string } {
    const folder = mkdtempSync(join(tmpdir(), "faultline-"));
    try {
      const [source, program] = [join(folder, "race.c"), join(folder, "race")];
      writeFileSync(source, text);
      const compiled = spawnSync(GCC, ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, source], { encoding: "utf8" });
      expect(compiled).toMatchObject({ status: 0, stderr: "" });
      const { status, stdout } = spawnSync(program, [`${rounds}`], { encoding: "utf8" });
      return { status, stdout };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test("without devices comes to its end here", () => {
    const { status, stdout } = run(emitted(dontneedReclaim, NO_PENDING));
    expect(stdout).toMatch(/^5 rounds, and nothing that may not be\n(?:setup.*\n)?the word at MAP0: 0 in 5 rounds\n$/m);
    expect(status).toBe(0);
  });

  test("that finds a word wrong says so, and fails", () => {
    const program = emitted(dontneedReclaim, NO_PENDING);
    const text = program.text.replace("madvise(MAP0, 1 * PAGE, MADV_DONTNEED);", ";");
    expect(text).not.toBe(program.text);
    const { status, stdout } = run({ ...program, text });
    expect(stdout).toMatch(/^round 0: dontneed: t\.load32\(MAP0\) is 7, which no order of the calls can give$/m);
    expect(status).toBe(1);
  });

  test("with migration compiles; no round is run, which could take this computer's memory offline", () => {
    expect(run(emitted(migrateExclusive, undone("exclusive-mapcount")), 0).status).toBe(2);
  });

  test.each([
    ["devices", faultExclusiveDontneed, undone("exclusive-fault-ref")],
    ["pages held", gupFastMunmap, TABLES_AT_ONCE],
    ["device writes", mirrorDontneed, NO_FLUSH],
  ] as const)("with %s compiles, and ends or is skipped", (_what, s, overlay) => {
    const { status, stdout } = run(emitted(s as Scenario, overlay));
    expect([0, 77]).toContain(status);
    expect(stdout).toMatch(status === 77 ? /^skipped: [^\n]+\n$/ : /rounds, and nothing that may not be/);
  });
});
