import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { explore, type Scenario } from "../packages/checker/src/index.js";
import { LockOrder } from "../packages/checker/src/lock_order.js";
import { guestsOf } from "../packages/checker/test/guests.js";
import { fuzz, type FuzzOptions } from "../packages/checker/test/fuzz.js";
import { runGuest, type GuestSettings } from "../packages/riscv/test/guest.js";
import { ROOT } from "./points.js";

/*
 * The tree of docs/architecture.md, "Lock order", against the locks that scenarios, random
 * programs and guests take.
 */

/**
 * For each class those that may be taken inside it. One class a line, indented by three characters
 * a level; "NAME …" stands for the tree below NAME elsewhere, and "two" allows two of a class.
 */
function parseTree(markdown: string): ReadonlyMap<string, ReadonlySet<string>> {
  const drawn = /^## Lock order$[^]*?^```$\n([^]*?)^```$/m.exec(markdown)?.[1];
  if (drawn === undefined) throw new Error("docs/architecture.md has no tree of locks");
  const inside = new Map<string, Set<string>>();
  const continued: [string, readonly string[]][] = [];
  const above: string[] = [];
  for (const line of drawn.trimEnd().split("\n")) {
    const { indent, name, rest } = /^(?<indent>[│├└─ ]*)(?<name>\w+)(?<rest>.*)$/u.exec(line)?.groups ?? {};
    if (indent === undefined || name === undefined || rest === undefined) throw new Error(`no lock class: ${line}`);
    above.length = indent.length / 3;
    for (const outer of above) inside.get(outer)!.add(name);
    if (rest.startsWith(" …")) continued.push([name, [...above]]);
    else if (inside.has(name)) throw new Error(`${name} stands there twice`);
    else inside.set(name, new Set(/\btwo\b/.test(rest) ? [name] : []));
    above.push(name);
  }
  for (const [name, outers] of continued) for (const outer of outers) for (const inner of inside.get(name)!) inside.get(outer)!.add(inner);
  return inside;
}

const SMALL = { cpus: 3, devices: 2, frames: 160, swapSlots: 256, memoryMax: 40, ownPages: 16, sharedPages: 4, operations: 40, orders: [2, 3] };
const HUGE = { cpus: 2, devices: 1, frames: 4096, swapSlots: 4096, memoryMax: 1300, ownPages: 514, sharedPages: 4, operations: 25, orders: [9] };
const SEEDS = 10;

const BLOCK = "/sys/devices/system/memory/memory18/state";
const GUESTS: readonly [string, GuestSettings][] = [
  ["exclusive-swap", {
    args: ["4"],
    memoryBytes: 512 * 2 ** 20,
    before: ["mkdir /tmp/d", "echo x > /tmp/d/f", "mkdir /sys/fs/cgroup/a", "echo $$ > /sys/fs/cgroup/a/cgroup.procs"],
    lines: ["cat /proc/$PID/smaps", "echo 1M > /sys/fs/cgroup/a/memory.reclaim", `echo offline > ${BLOCK}`, `echo online_movable > ${BLOCK}`],
  }],
  ["calls", {}],
  ["mremap", {}],
  ["uprobe", {}],
  ["counter", { args: ["3", "500"] }],
  ["oom", {}],
];

/** Each pair that was seen, with where it was seen first. */
async function observed(): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  const add = (edges: Iterable<readonly [string, string]>, where: string): void => {
    for (const [outer, inner] of edges) if (!seen.has(`${outer} > ${inner}`)) seen.set(`${outer} > ${inner}`, where);
  };
  const scenarios = join(ROOT, "scenarios");
  for (const file of readdirSync(scenarios).filter((name) => name.endsWith(".ts"))) {
    const { default: scenario } = (await import(join(scenarios, file))) as { default: Scenario };
    add(explore(scenario, { preemptions: 1, executionsMax: 40, guests: guestsOf(scenario) }).lockOrder, `scenarios/${file}`);
  }
  for (const machine of [SMALL, HUGE]) {
    for (let seed = 0; seed < SEEDS; seed++) {
      const options: FuzzOptions = { ...machine, seed, switchOneIn: 3 };
      let order: LockOrder | null = null;
      fuzz(options, null, (m, next) => {
        if (m.locks.observer instanceof LockOrder) order = m.locks.observer;
        return next;
      });
      add(order!.edges(), `random program ${seed}`);
    }
  }
  for (const [name, settings] of GUESTS) {
    const order = new LockOrder(() => {});
    runGuest(name, { ...settings, prepare: ({ m }) => void (m.locks.observer = order) });
    add(order.edges(), name);
  }
  return seen;
}

test("the tree of locks allows every order in which locks are taken", async () => {
  const inside = parseTree(readFileSync(join(ROOT, "docs/architecture.md"), "utf8"));
  const seen = await observed();
  const pairs = [...seen].map(([pair, where]) => ({ pair, where, classes: pair.split(" > ") }));
  const missing = pairs.filter(({ classes: [outer, inner] }) => inside.get(outer!)?.has(inner!) !== true);
  expect(missing.map(({ pair, where }) => `${pair} (${where})`)).toEqual([]);
  const met = new Set(pairs.flatMap(({ classes }) => classes));
  expect([...inside.keys()].filter((name) => !met.has(name))).toEqual([]);
});
