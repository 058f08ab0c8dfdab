import { fileURLToPath } from "node:url";
import { Errno } from "@faultline/kernel";
import { expect, test } from "vitest";
import { acceptedValues, SURFACES, SYSCALLS, type Accepted, type Surface, type Syscall } from "../src/index.js";

/** An argument's values by their names, and what comes of others. */
function argumentText(call: Syscall, index: number, accepted: Accepted): string {
  const names = new Map(call.args[index]?.names ?? []);
  const known: string[] = [];
  if (accepted.kind === "values") for (const value of acceptedValues(accepted)) known.push(names.get(value) ?? String(value));
  else {
    let rest = acceptedValues(accepted).reduce((sum, value) => sum | value, 0) >>> 0;
    for (const [bit, name] of [...names].sort(([a], [b]) => a - b)) {
      if ((rest & bit) === 0) continue;
      known.push(name);
      rest = (rest & ~bit) >>> 0;
    }
    if (rest !== 0) known.push(`0x${rest.toString(16)}`);
  }
  return `${known.map((name) => `\`${name}\``).join(" ")}; ${accepted.other === 0 ? "others are ignored" : `others: ${Errno[accepted.other]}`}`;
}

function takesText(call: Syscall, surface: Surface): string {
  return Object.entries(surface.takes ?? {}).map(([index, accepted]) => argumentText(call, Number(index), accepted)).join("<br>");
}

/** Errnos, each with all that it is given for. */
function refusesText({ refuses = [] }: Surface): string {
  const reasons = new Map<number, string[]>();
  for (const [errno, when] of refuses) reasons.set(errno, [...(reasons.get(errno) ?? []), when]);
  return [...reasons].map(([errno, whens]) => `${Errno[errno]}: ${[...new Set(whens)].join("; ")}`).join("<br>");
}

/** docs/syscalls.md, made from the tables. */
function page(): string {
  const calls = [...SYSCALLS];
  const handled = calls.filter(([, call]) => call.handler !== null);
  const refused = calls.filter(([, call]) => call.handler === null);
  return [
    "# System calls",
    "",
    `The system calls of Linux on riscv64 that are there. Others return \`ENOSYS\`, and the kernel log`,
    "(`--dmesg`) names each the first time. This page is made from the tables in",
    "`packages/riscv/src/abi/syscalls/`: what a call is in `table.ts`, what it takes and refuses in `surface/`.",
    "`npx vitest run packages/riscv/test/syscalls.test.ts -u` makes it anew; `surface.test.ts` beside it tries",
    "each flag that a call takes, each bit that it does not, and each refusal.",
    "",
    "| number | call | flags and choices | refuses | known differences from Linux |",
    "|---:|---|---|---|---|",
    ...handled.map(([number, call]) => {
      const surface = SURFACES[call.name] ?? { example: null };
      return `| ${number} | \`${call.name}\` | ${takesText(call, surface)} | ${refusesText(surface)} | ${call.limits} |`;
    }),
    "",
    "Known by name (for `--strace`), and not there yet: " + refused.map(([, call]) => `\`${call.name}\``).join(", ") + ".",
    "",
  ].join("\n");
}

test("docs/syscalls.md says what the table says", async () => {
  await expect(page()).toMatchFileSnapshot(fileURLToPath(new URL("../../../docs/syscalls.md", import.meta.url)));
});

test("the table is in order, and names no call twice", () => {
  const numbers = [...SYSCALLS.keys()];
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  const names = [...SYSCALLS.values()].map((call) => call.name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
