import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { isNewEnough, modelled } from "../src/difftest/command.js";
import { common, firstDifference } from "../src/difftest/compare.js";
import { addCoverage, coverageOf, coverageTable } from "../src/difftest/coverage.js";
import { generate } from "../src/difftest/generate.js";
import { HUGE_FILE, isPossible, operationText, parseOperation, type Operation } from "../src/difftest/operations.js";
import { parseOutput } from "../src/difftest/output.js";
import { differencesPage, RULES, RULES_MAX } from "../src/difftest/rules.js";
import { parseCase } from "../src/difftest/saved_case.js";
import { shrink } from "../src/difftest/shrink.js";
import { GuestSide } from "../src/difftest/sides.js";
import { faultline, prebuilt, ROOT, withFiles } from "./command.js";

const CASES = fileURLToPath(new URL("difftest/", import.meta.url));
// What is saved was printed by hosts of this release.
const guest = new GuestSide(join(ROOT, prebuilt("difftest")), "6.18");

describe("what was a difference from Linux once", () => {
  const cases = readdirSync(CASES).map((name) => ({ name, ...parseCase(readFileSync(join(CASES, name), "latin1")) }));
  const ours = guest.run(cases.map(({ list }) => list));
  test.each(cases.map((one, i) => ({ ...one, i })))("$name", ({ list, text, i }) => {
    const native = parseOutput(text);
    const { both } = common(native.features, ours.features);
    expect(firstDifference(list, native.lists[0]!, ours.lists[i]!, both, RULES)).toBeNull();
  });
});

test("a rule lets a field pass until both say the same of it again", () => {
  const { list, text } = parseCase(readFileSync(join(CASES, "locked-is-touched-by-its-huge-entry.txt"), "latin1"));
  const native = parseOutput(text);
  const ours = guest.run([list]);
  const { both } = common(native.features, ours.features);
  const difference = (rules: typeof RULES): unknown => firstDifference(list, native.lists[0]!, ours.lists[0]!, both, rules)?.index ?? null;
  expect(difference(RULES)).toBeNull();
  expect(difference([])).toBe(5);
  expect(difference(RULES.map((rule) => ({ ...rule, holds: () => false })))).toBe(5);
});

test.each([
  ["large-folio-is-written-in-place.txt", 5],
  ["free-of-what-a-third-process-keeps.txt", 8],
])("before large folios knew their owners, %s went another way", (name, index) => {
  const { list, text } = parseCase(readFileSync(join(CASES, name), "latin1"));
  const native = parseOutput(text);
  const ours = new GuestSide(join(ROOT, prebuilt("difftest")), "6.14").run([list]);
  const { both } = common(native.features, ours.features);
  expect(firstDifference(list, native.lists[0]!, ours.lists[0]!, both, RULES)?.index).toBe(index);
});

test("a seed is a list of operations, always the same, and a list is text and back", () => {
  const list = generate(7, 50);
  expect(generate(7, 50)).toEqual(list);
  expect(generate(8, 50)).not.toEqual(list);
  const again = list.map((op) => operationText(parseOperation(operationText(op))));
  expect(again).toEqual(list.map(operationText));
});

test("a list shrinks to what is needed", () => {
  const list = generate(3, 120);
  const wanted = [list[17]!.kind, list[90]!.kind];
  const small = shrink(list, (lists) => lists.findIndex((one) => one.some((op, i) => op.kind === wanted[0] && one.slice(i + 1).some(({ kind }) => kind === wanted[1]))));
  expect(small.map(({ kind }) => kind)).toEqual(wanted);
});

test("what operations met is counted by kind of entry", () => {
  const { list, text } = parseCase(readFileSync(join(CASES, "cold-flushes.txt"), "latin1"));
  const coverage = coverageOf(list, parseOutput(text).lists[0]!);
  expect(coverage).toMatchObject({ "store no page": 1, "advise own page": 1, "load own page": 1 });
  expect(coverageTable(addCoverage(coverage, coverage))).toContain("own page");
});

test("huge pages of the pool are a kind of their own, and their operations are left out where there is no pool", () => {
  const { list, text } = parseCase(readFileSync(join(CASES, "hugetlb-remap-looks-at-the-new-address.txt"), "latin1"));
  expect(coverageOf(list, parseOutput(text).lists[0]!)).toMatchObject({ "remap hugetlb": 1 });
  const seeds = Array.from({ length: 60 }, (_, i) => generate(i, 60)).flat();
  const features = { files: true, userfaultfd: true, heap: true, hugetlb: false };
  const isHuge = ({ kind, args }: Operation): boolean => kind === "maphuge" || args["file"] === HUGE_FILE;
  expect(seeds.filter(isHuge).length).toBeGreaterThan(50);
  expect(seeds.filter((op) => isHuge(op) && isPossible(op, features))).toEqual([]);
  expect(common({ hugetlb: false }, { hugetlb: true }).missing).toEqual(["the host has no pool of huge pages that this process may set and nobody uses: not compared"]);
});

test("rules are few, and docs/differences.md has them with their reasons", async () => {
  await expect(differencesPage()).toMatchFileSnapshot(join(ROOT, "docs/differences.md"));
  expect(RULES.length).toBeLessThanOrEqual(RULES_MAX);
  for (const { reason } of RULES) expect(reason).not.toBe("");
});

test("older kernels are not compared", () => {
  expect(["6.1.0-13-amd64", "6.16.1", "5.19.0", "6.17.0-rc1", "6.18.44-x", "7.3.0"].map(isNewEnough)).toEqual([false, false, false, true, true, true]);
  expect(["5.19.0", "6.17.0-rc1", "6.18.44-x", "7.0.0", "7.3.0", "8.0"].map(modelled)).toEqual(["6.1", "6.14", "6.18", "6.18", "7.3", "7.3"]);
});

const hasCompiler = process.platform === "linux" && isNewEnough(release()) && spawnSync("cc", ["--version"]).status === 0;
if (!hasCompiler) console.warn("cc is not installed, or this is no new Linux: machines are not compared with it");

describe.skipIf(!hasCompiler)("the Linux underneath", () => {
  test("does what a machine does", () => {
    const { status, stdout, stderr } = faultline(["difftest", "--seeds", "10", "--operations", "60", "--workers", "1"]);
    expect({ status, stderr, end: stdout.trimEnd().split("\n").at(-1) }).toEqual({ status: 0, stderr: "", end: "10 seeds of 60 operations, from 1 on: no difference" });
  });

  test("is said to have failed where its program does", () => {
    // What it compiles does as it should with no list, which is what it is tried with first, and nothing else.
    const cc = '#!/bin/sh\n"$REAL" "$@" || exit\nwhile [ "$1" != -o ]; do shift; done\nmv "$2" "$2.real"\nprintf "%s\\n" "#!/bin/sh" "cat > \$0.in" "[ \$(wc -c < \$0.in) -lt 64 ] || { echo no pool; exit 3; }" "exec \$0.real < \$0.in" > "$2"\nchmod +x "$2"\n';
    withFiles({ cc }, (folder) => {
      chmodSync(join(folder, "cc"), 0o755);
      const real = spawnSync("sh", ["-c", "command -v cc"], { encoding: "utf8" }).stdout.trim();
      const { status, stderr } = faultline(["difftest", "--seeds", "1", "--workers", "1"], { env: { CC: join(folder, "cc"), REAL: real } });
      expect({ status, stderr }).toEqual({ status: 125, stderr: "faultline: difftest, natively, has ended with status 3: no pool\n" });
    });
  });
});
