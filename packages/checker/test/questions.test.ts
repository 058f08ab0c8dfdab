import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { resolvePatches, type OverlayFactory, type UserPatch } from "@faultline/kernel";
import { explore, type Scenario } from "../src/index.js";

const EXECUTIONS = 3000;
const ROOT = new URL("../../../", import.meta.url);
const PAGES = ["questions", "series"].map((name) => readFileSync(new URL(`docs/${name}.md`, ROOT), "utf8"));

interface Command {
  readonly line: string;
  readonly answer: string;
  readonly scenario: string;
  readonly release: string;
  readonly without: readonly string[];
  readonly patch: string | undefined;
}

const COMMAND = /^([\w-]+): (.+)\n {4}(npx faultline check (\S+)(?: --release (\S+))?((?: --without \S+)*)(?: --patch (\S+))?)$/gm;
const COMMANDS: readonly Command[] = PAGES.flatMap((page) =>
  [...page.matchAll(COMMAND)].map(([, , answer, line, scenario, release = "7.3", without, patch]) => ({
    line: line!,
    answer: answer!,
    scenario: scenario!,
    release,
    without: without!.split(" --without ").slice(1),
    patch,
  })),
);

async function load<T>(path: string): Promise<T> {
  return ((await import(fileURLToPath(new URL(path, ROOT)))) as { default: T }).default;
}

test("every command of the pages is read", () => {
  expect(COMMANDS).toHaveLength(PAGES.join("").split("npx faultline check ").length - 1);
});

test.each(COMMANDS)("$line answers: $answer", async ({ answer, scenario, release, without, patch }) => {
  const overlays = resolvePatches({ release, without }) as readonly OverlayFactory[];
  const more = patch === undefined ? [] : [(await load<UserPatch>(patch)).apply];
  const { violation } = explore(await load<Scenario>(scenario), { overlays: [...overlays, ...more], executionsMax: EXECUTIONS });
  if (answer === "Nothing found.") expect(violation).toBeNull();
  else expect(violation!.message).toContain(answer);
});

// Behind the rule that no callback reads what is being invalidated.
test.each([
  ["fault-in-callback", ["notifier-recursion", "notifier-protocol"], /no notifier has made the device drop its own/],
  ["range-fault-in-callback", ["notifier-recursion"], /waits for itself: .*mmu_interval_read_begin/],
] as const)("what becomes of a driver that looks for new pages in its callback: %s", async (name, ignore, message) => {
  const scenario = await load<Scenario>("scenarios/what-may-a-callback-not-do.ts");
  const { violation } = explore(scenario, { overlays: [(await load<UserPatch>(`scenarios/undone/${name}.ts`)).apply], ignore, executionsMax: EXECUTIONS });
  expect(violation!.message).toMatch(message);
});
